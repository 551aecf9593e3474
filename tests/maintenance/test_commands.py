"""The commands as a person runs them, in processes of their own where they are killed; every example of their page."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.command import ROOT, command, environment, run

PAGE = ROOT / "docs" / "commands.md"
MANY = 3_000


def kill_when(folder: Path, ready: Callable[[], bool], number: signal.Signals, *arguments: str) -> tuple[int, str]:
    """Start a command, send it a signal as soon as something is there; return its exit code and what it said."""
    process = subprocess.Popen(
        command(*arguments), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 120
        while not ready():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        return process.returncode, errors
    finally:
        process.kill()
        process.communicate()


def commits(store: Path) -> int:
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM commits").fetchone()[0])
    return 0


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with ``many.ndjson``, resources with and without ids, loaded into ``full.db``; and its ``backup.gz``."""
    folder = tmp_path_factory.mktemp("full")
    with (folder / "many.ndjson").open("w", encoding="utf-8") as lines:
        for number in range(MANY):
            own = {"id": f"o{number}"} if number % 2 else {}
            lines.write(json.dumps({"resourceType": "Organization", **own, "name": f"Organisation {number}"}) + "\n")
    done = run(folder, "load", "--store", "sqlite:full.db", "many.ndjson")
    assert (done.returncode, done.stdout) == (0, "1 file: 3,000 created, 0 updated, 0 unchanged, 0 refused.\n")
    done = run(folder, "backup", "--store", "sqlite:full.db", "backup.gz")
    assert done.returncode == 0, done.stderr
    yield folder


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_load_goes_on_and_loads_each_resource_once(number: signal.Signals, full: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    arguments = ("load", "--store", f"sqlite:{store}", str(full / "many.ndjson"))
    code, errors = kill_when(tmp_path, lambda: commits(store) > 2, number, *arguments)
    assert code == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[number]
    assert "Traceback" not in errors
    assert ("What was loaded stays" in errors) == (number != signal.SIGKILL)
    done = run(tmp_path, *arguments)
    assert done.returncode == 0
    found = re.fullmatch(r"1 file: ([\d,]+) created, 0 updated, ([\d,]+) unchanged, 0 refused\.\n", done.stdout)
    assert found, done.stdout
    created, unchanged = (int(text.replace(",", "")) for text in found.groups())
    assert created + unchanged == MANY
    assert 0 < unchanged < MANY
    done = run(tmp_path, "check", "--store", f"sqlite:{store}")
    assert "3,000 versions in" in done.stdout
    assert done.returncode == 0


def test_killed_restore_goes_on(full: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    arguments = ("restore", "--store", f"sqlite:{store}", str(full / "backup.gz"))
    code, _ = kill_when(tmp_path, lambda: commits(store) > 2, signal.SIGKILL, *arguments)
    assert code == -9
    done = run(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert "were there already" in done.stdout
    done = run(tmp_path, "check", "--store", f"sqlite:{store}")
    assert (done.returncode, "3,000 versions in" in done.stdout) == (0, True)


def test_restoring_again_into_a_finished_copy_says_that_nothing_was_left(full: Path, tmp_path: Path) -> None:
    arguments = ("restore", "--store", "sqlite:store.db", str(full / "backup.gz"))
    assert run(tmp_path, *arguments).returncode == 0
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Nothing was left to restore: the store holds all ")


def test_killed_backup_leaves_no_file_of_that_name(full: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.gz"
    part = tmp_path / ".b.gz.part"
    arguments = ("backup", "--store", f"sqlite:{full / 'full.db'}", str(file))
    kill_when(tmp_path, part.exists, signal.SIGKILL, *arguments)
    assert not file.exists()
    assert run(tmp_path, *arguments).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["b.gz"]
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("load", "none.json"), 1, "There is no none.json."),
        (("export", "out"), 1, "There is no store at sqlite:./data/cpts.sqlite; give another with --store."),
        (("check",), 1, "There is no store at sqlite:./data/cpts.sqlite; give another with --store."),
        (("reindex", "--store", "sqlite:x.db"), 1, "There is no store at sqlite:x.db; give another with --store."),
        (("backup", "b.gz"), 1, "There is no store at sqlite:./data/cpts.sqlite; give another with --store."),
        (("restore", "b.gz"), 1, "b.gz cannot be read: No such file or directory."),
        (
            ("check", "--store", "mongodb://a:b@c"),
            2,
            "--store: mongodb:// names no database; give mongodb://HOST/NAME.",
        ),
    ],
)
def test_expected_failure_is_one_sentence_and_makes_nothing(
    arguments: tuple[str, ...], code: int, sentence: str, tmp_path: Path
) -> None:
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"fhir-server: {sentence}\n")
    assert not list(tmp_path.iterdir())


def test_cut_backup_is_one_sentence_and_makes_no_store(full: Path, tmp_path: Path) -> None:
    whole = (full / "backup.gz").read_bytes()
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    done = run(tmp_path, "restore", "cut.gz")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("fhir-server: cut.gz cannot be restored: it is cut")
    assert [path.name for path in tmp_path.iterdir()] == ["cut.gz"]


def test_file_that_is_no_store_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("this is no database, however long the text may be" * 100)
    done = run(tmp_path, "check", "--store", "sqlite:x.db")
    assert done.returncode == 1
    assert done.stderr.startswith("fhir-server: The store cannot be used: ")
    assert done.stderr.count("\n") == 1


def test_unknown_type_is_one_sentence(full: Path) -> None:
    done = run(full, "reindex", "--store", "sqlite:full.db", "--type", "Organisation")
    assert (done.returncode, done.stderr) == (
        1,
        "fhir-server: --type: Organisation is not a resource type of FHIR R4.\n",
    )


def test_ids_may_be_chosen_here_whatever_clients_may(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"resourceType": "Organization", "id": "a", "name": "A"}')
    done = run(tmp_path, "load", "--store", "sqlite:x.db", "a.json", FHIR_UPDATE_CREATE="off")
    assert (done.returncode, done.stdout) == (0, "1 file: 1 created, 0 updated, 0 unchanged, 0 refused.\n")


def test_rehearsal_needs_no_store_and_makes_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"resourceType": "Organization", "id": "a"}')
    done = run(tmp_path, "load", "--dry-run", "a.json")
    assert done.returncode == 1
    assert done.stderr.startswith("a.json: Organization: ")
    assert done.stdout == "1 file: 0 would be created, 0 would be updated, 0 unchanged, 1 refused.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


# --- the page --------------------------------------------------------------------------------------------------------


def examples() -> Iterator[tuple[str, str]]:
    """Yield each command of the page that begins with $, with the answer below it."""
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, answer = example.partition("\n")
            yield line, answer


def test_each_example_of_the_page_answers_as_the_page_says(tmp_path: Path) -> None:
    """In order, in one folder, on the files that the page shows."""
    for name, content in re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    seen = set()
    for line, answer in examples():
        words = shlex.split(line)
        if words[0] == "fhir-server":
            seen.add(words[1])
            done = run(tmp_path, *words[1:])
            told = done.stderr + done.stdout
        else:
            assert words[:2] == ["echo", "$?"]
            told = f"{done.returncode}\n"
        assert shape(told) == shape(answer), line
    assert seen == {"load", "import", "export", "backup", "restore", "check", "reindex"}


def shape(text: str) -> str:
    """Return an answer without what differs from run to run: ids of logs and imports, sizes, commits."""
    text = re.sub(r"Import [0-9a-f]{16}", "Import RUN", text)
    text = re.sub(r"_after=[0-9a-f]{16}\.[0-9]+", "_after=LOG", text)
    text = re.sub(r"in [\d,]+ commits?", "in COMMITS", text)
    return re.sub(r"[\d,]+ bytes", "SIZE", text)
