"""What is written about the project is true: settings, version, commands, links."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import pytest

from fhir_server import __version__
from fhir_server.settings import SETTINGS

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_SPECIAL = {"base_url": "from host and port", "types": "see below"}
SCRIPT = re.compile(r"(?:\./)?scripts/([a-z]+)")


class Row(NamedTuple):
    variable: str
    flag: str
    default: str


def rows_of_the_page() -> list[Row]:
    rows = []
    for line in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| `FHIR_"):
            variable, flag, default, _ = (cell.strip() for cell in line.strip("|").split(" | "))
            rows.append(Row(variable.strip("`"), flag.strip("`"), default.strip("`")))
    return rows


def rows_of_the_table() -> list[Row]:
    rows = []
    for setting in SETTINGS:
        default = _SPECIAL.get(setting.name) or setting.default_text or "none"
        rows.append(Row(setting.variable, setting.flag or "none", default))
    return rows


def test_each_setting_has_its_line_and_each_line_its_setting() -> None:
    assert rows_of_the_page() == rows_of_the_table()


def test_page_of_settings_lists_the_types_served() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    [types] = [setting.default for setting in SETTINGS if setting.name == "types"]
    listed = re.search(r"Types served by default: (.*?)\.", page, re.DOTALL)
    assert listed
    assert tuple(listed[1].replace("\n", " ").split(", ")) == types


def test_newest_entry_of_the_changelog_is_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[([^\]]+)\] - (?:\d{4}-\d{2}-\d{2}|Unreleased)$", changelog, re.MULTILINE)
    assert versions[0] == __version__


def test_readme_names_two_commands_and_ci_calls_the_second() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\./scripts/\w+$", readme, re.MULTILINE)
    assert commands[:2] == ["./scripts/demo", "./scripts/test"]
    assert "./scripts/test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_script_named_in_a_page_can_be_run(page: Path) -> None:
    for name in SCRIPT.findall(page.read_text(encoding="utf-8")):
        assert os.access(ROOT / "scripts" / name, os.X_OK), f"{page.name} names scripts/{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_relative_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "#", "mailto:")):
            assert (page.parent / unquote(target.split("#")[0])).exists(), f"{page.name} links to {target}"


def test_each_decision_is_numbered_once_and_listed() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [record.name[:4] for record in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    for record in records:
        assert f"decisions/{record.name}" in index
        text = record.read_text(encoding="utf-8")
        assert all(f"## {part}" in text for part in ("Context", "Decision", "Consequences")), record.name
