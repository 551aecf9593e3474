"""The page of the commands, compared with the flags that they take."""

from __future__ import annotations

import argparse

from fhir_server.cli import push_appointments, tls
from fhir_server.settings import SETTINGS
from tests.docs.reading import DOCS, code, rows


def test_each_flag_of_push_appointments_has_its_line() -> None:
    parser = argparse.ArgumentParser()
    push_appointments.add(parser.add_subparsers())
    (commands,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    flags = {flag for one in commands.choices["push-appointments"]._actions for flag in one.option_strings}
    general = {"-h", "--help", *(setting.flag for setting in SETTINGS)}
    listed = [
        flag.split()[0] for row in rows(DOCS / "commands.md", "## sas push-appointments") for flag in code(row[0])
    ]
    assert sorted(listed) == sorted(flags - general)
    told = (DOCS / "commands.md").read_text(encoding="utf-8")
    variables = [tls.PASSWORD, *(variable for variable, _ in tls.FILES.values())]
    assert all(f"`{variable}`" in told for variable in variables)
