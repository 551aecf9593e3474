"""The import as a person runs it: a process that is killed, and run again; what it says and how it ends."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from fhir_server.cli import importing as command
from fhir_server.france import importing
from tests.command import run
from tests.france.importing.test_registers import ALICE, extract
from tests.maintenance.test_commands import commits, kill_when

LINES = 200


def rows(count: int) -> list[dict[str, str]]:
    """Return rows of as many people and practices."""
    return [
        {**ALICE, "numero": f"9{rank:010d}", "idnps": f"89{rank:010d}", "idnst": f"49{rank:010d}001"}
        for rank in range(count)
    ]


def test_the_command_offers_what_can_be_imported() -> None:
    assert (command.KINDS, command.PERCENT) == (importing.KINDS, importing.MAX_DEACTIVATED)


def test_killed_import_goes_on_and_says_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(extract(*rows(LINES)))
    store = tmp_path / "store.db"
    arguments = ("import", "--store", f"sqlite:{store}", "annuaire", "a.txt")
    code, errors = kill_when(tmp_path, lambda: commits(store) > 0, signal.SIGKILL, *arguments)
    assert (code, errors) == (-9, "")
    done = run(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    resumed = re.search(r"Reprise de l'import ([0-9a-f]{16}) : déjà écrit : ([\d ]+) ressources", done.stdout)
    created = re.search(r"Import ([0-9a-f]{16}) : ([\d ]+) créées, 0 modifiée, 0 désactivée", done.stdout)
    assert resumed
    assert created
    assert resumed[1] == created[1]
    assert int(resumed[2].replace(" ", "")) + int(created[2].replace(" ", "")) == 4 * LINES


def test_dry_run_needs_no_store_and_makes_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(extract(ALICE))
    done = run(tmp_path, "import", "annuaire", "a.txt", "--dry-run", "--commune", "25056")
    assert (done.returncode, done.stderr) == (0, "")
    assert "+ Practitioner/ps-899700990015-10  (a.txt:2)" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_what_cannot_be_imported_is_a_sentence_and_exit_1_or_2(tmp_path: Path) -> None:
    for arguments, code, told in (
        (("annuaire", "none.txt"), 1, "none.txt : n'existe pas. Remède"),
        (("cpts", "a", "b"), 2, "unrecognized arguments: b"),
        (("autre", "a"), 2, "invalid choice: 'autre'"),
        (("annuaire", "a", "--max-deactivated", "101"), 2, "--max-deactivated"),
    ):
        done = run(tmp_path, "import", "--store", f"sqlite:{tmp_path}/s.db", *arguments)
        assert (done.returncode, done.stdout) == (code, "")
        assert told in done.stderr
        assert "Traceback" not in done.stderr
