"""The page of the commands, compared with the flags that they take."""

from __future__ import annotations

import argparse
from types import ModuleType

import pytest

from fhir_server.cli import push_appointments, sas_check, tls
from fhir_server.settings import SETTINGS
from tests.docs.reading import DOCS, code, rows


@pytest.mark.parametrize(("name", "command"), [("push-appointments", push_appointments), ("check", sas_check)])
def test_each_flag_of_a_command_about_the_sas_has_its_line(name: str, command: ModuleType) -> None:
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    (commands,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    flags = {flag for one in commands.choices[name]._actions for flag in one.option_strings}
    general = {"-h", "--help", *(setting.flag for setting in SETTINGS)}
    listed = [flag.split()[0] for row in rows(DOCS / "commands.md", f"## sas {name}") for flag in code(row[0])]
    assert sorted(listed) == sorted(flags - general)


def test_each_variable_of_tls_is_told() -> None:
    told = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert all(f"`{variable}`" in told for variable in (tls.PASSWORD, *(one for one, _ in tls.FILES.values())))
