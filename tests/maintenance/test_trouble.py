"""What goes wrong around the commands: full disks, files that are none, two commands at once, changed bytes."""

from __future__ import annotations

import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from fhir_server.maintenance.documents import sources
from fhir_server.maintenance.files import replacing, unnamed
from fhir_server.maintenance.progress import CommandFailed
from tests.command import ROOT, command, environment, run
from tests.maintenance.conftest import Place, bodies, loaded, organization

ORGANIZATION = json.dumps(organization("Été", "a"), ensure_ascii=False)


# --- load ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "counts", "told"),
    [
        (ORGANIZATION.encode("utf-8-sig") + b"\r\n\r\n", (1, 0, 0, 0), ""),
        (ORGANIZATION.encode("latin-1") + b"\n", (0, 0, 0, 1), "not UTF-8"),
        (ORGANIZATION.encode("utf-16"), (0, 0, 0, 1), "not UTF-8"),
        (b"", (0, 0, 0, 0), ""),
        (b"\n \r\n\n", (0, 0, 0, 0), ""),
        (b"\x00\n", (0, 0, 0, 1), "not JSON"),
        (b"[" * 100_000 + b"\n", (0, 0, 0, 1), "nested deeper"),
    ],
    ids=["mark-and-crlf", "latin-1", "utf-16", "empty", "blank", "nul", "deep"],
)
async def test_file_in_another_encoding_or_without_content_is_told(
    content: bytes, counts: tuple[int, ...], told: str, place: Place
) -> None:
    file = place.write("a.ndjson", content)
    async with place.open() as service:
        done = await loaded(service, file)
    assert done.counts == counts
    assert all(told in refusal.issues[0].diagnostics for refusal in done.refusals)


async def test_empty_json_file_is_refused(place: Place) -> None:
    async with place.open() as service:
        assert (await loaded(service, place.write("a.json", b""))).counts == (0, 0, 0, 1)


async def test_links_pipes_and_names_that_lead_nowhere_are_told_and_never_waited_for(place: Place) -> None:
    folder = place.write("in/real.json", organization("A", "a")).parent
    elsewhere = place.write("elsewhere/b.json", organization("B", "b"))
    (folder / "link.json").symlink_to(elsewhere)
    (folder / "lost.json").symlink_to(folder / "none.json")
    (folder / "folder").symlink_to(elsewhere.parent, target_is_directory=True)
    (folder / "circle.json").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe.ndjson")
    given = sources([folder])
    assert given.skipped == 2
    async with place.open() as service:
        done = await loaded(service, folder)
        assert done.counts == (2, 0, 0, 2)
        assert [Path(refusal.place).name for refusal in done.refusals] == ["lost.json", "pipe.ndjson"]
        assert set(await bodies(service)) == {"Organization/a", "Organization/b"}


def test_folder_that_cannot_be_read_ends_the_command(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = place.write("in/a.json", "{}").parent

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(CommandFailed, match="in cannot be read: Permission denied"):
        sources([folder])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="/proc tells how much memory a process has had")
def test_line_of_a_gigabyte_takes_little_memory(tmp_path: Path) -> None:
    with (tmp_path / "a.ndjson").open("wb") as file:
        file.write(b'{"resourceType": "Organization", "name": "')
        file.truncate(1_000_000_000)  # a hole: no disk is needed
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + ORGANIZATION.encode() + b"\n")
    measured = f"""
import sys
from pathlib import Path
from fhir_server.__main__ import main
code = main(["load", "--store", "sqlite:{tmp_path}/x.db", "{tmp_path}/a.ndjson"])
status = Path("/proc/self/status").read_text()  # ru_maxrss has what the process had that started this one
print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
sys.exit(code)
"""
    done = subprocess.run(
        [sys.executable, "-c", measured], env=environment(), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "a.ndjson:1: it has more than 20000000 bytes" in done.stderr
    summary, megabytes = done.stdout.splitlines()
    assert summary == "1 file: 1 created, 0 updated, 0 unchanged, 1 refused."
    assert int(megabytes) < 400


# --- files that are written ------------------------------------------------------------------------------------------


def test_file_that_another_command_writes_is_refused_and_the_first_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "b.gz"
    with replacing(path) as first:
        first.write(b"first")
        with pytest.raises(CommandFailed, match=r"b\.gz is being written by another command"), replacing(path):
            pytest.fail("two write at once")
    assert path.read_bytes() == b"first"
    assert [file.name for file in tmp_path.iterdir()] == ["b.gz"]


def test_what_a_killed_command_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".b.gz.part").write_bytes(b"longer than what comes")
    with replacing(tmp_path / "b.gz") as file:
        file.write(b"new")
    assert (tmp_path / "b.gz").read_bytes() == b"new"


def test_link_in_the_place_of_the_part_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"kept")
    (tmp_path / ".b.gz.part").symlink_to(tmp_path / "other")
    with pytest.raises(CommandFailed, match="cannot be written"), replacing(tmp_path / "b.gz"):
        pytest.fail("written through a link")
    assert (tmp_path / "other").read_bytes() == b"kept"


def test_file_without_its_name_leaves_nothing(tmp_path: Path) -> None:
    with unnamed(tmp_path / "a.ndjson") as file:
        file.stream.write(b"x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [("export", "out"), ("backup", "b.gz")], ids=lambda words: words[0])
def test_full_disk_is_one_sentence_and_leaves_what_was_there(arguments: tuple[str, str], tmp_path: Path) -> None:
    lines = [json.dumps(organization(os.urandom(1_000).hex(), f"o{n}")) for n in range(600)]
    (tmp_path / "in.ndjson").write_text("\n".join(lines))
    store = ("--store", "sqlite:x.db")
    assert run(tmp_path, "load", *store, "in.ndjson").returncode == 0
    assert run(tmp_path, arguments[0], *store, arguments[1]).returncode == 0
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.suffix in {".ndjson", ".gz"}}

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    done = subprocess.run(
        command(arguments[0], *store, arguments[1]),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=small,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("fhir-server: ")
    assert done.stderr.endswith(" cannot be written: File too large.\n")
    assert done.stderr.count("\n") == 1
    assert before == {file: file.read_bytes() for file in tmp_path.rglob("*") if file.suffix in {".ndjson", ".gz"}}
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("name", ["x.db", "x.db-wal", "./x.db"])
def test_backup_never_takes_the_place_of_the_store(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(ORGANIZATION)
    assert run(tmp_path, "load", "--store", "sqlite:x.db", "a.json").returncode == 0
    done = run(tmp_path, "backup", "--store", "sqlite:x.db", name)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"fhir-server: {Path(name)} belongs to the store itself; give the name of another file.\n"
    assert run(tmp_path, "check", "--store", "sqlite:x.db").returncode == 0


# --- what was changed on the disk ------------------------------------------------------------------------------------


def test_check_of_a_store_with_changed_bytes_says_so_or_finds_nothing_wrong_with_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "in.ndjson").write_text("\n".join(json.dumps(organization(f"O{n}", f"o{n}")) for n in range(300)))
    assert run(tmp_path, "load", "--store", "sqlite:x.db", "in.ndjson").returncode == 0
    whole = (tmp_path / "x.db").read_bytes()
    chance = random.Random(7)
    found = 0
    for _ in range(6):
        changed = bytearray(whole)
        for _ in range(40):
            changed[chance.randrange(100, len(changed))] ^= 0xFF
        (tmp_path / "x.db").write_bytes(changed)
        done = run(tmp_path, "check", "--store", "sqlite:x.db")
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode in {0, 1}
        found += done.returncode
    assert found > 3


def test_check_of_a_store_with_a_row_that_nobody_wrote_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "in.ndjson").write_text(json.dumps(organization("O", "o")))
    assert run(tmp_path, "load", "--store", "sqlite:x.db", "in.ndjson").returncode == 0
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM type")
    done = run(tmp_path, "check", "--store", "sqlite:x.db")
    assert done.returncode == 1
    assert "the store cannot be read: what it holds is damaged" in done.stderr and "Traceback" not in done.stderr


def test_two_loads_at_once_store_each_resource_once(tmp_path: Path) -> None:
    (tmp_path / "in.ndjson").write_text("\n".join(json.dumps(organization(f"O{n}", f"o{n}")) for n in range(500)))
    both = [
        subprocess.Popen(
            command("load", "--store", "sqlite:x.db", "in.ndjson"), cwd=tmp_path, env=environment(), text=True
        )
        for _ in range(2)
    ]
    assert [process.wait(120) for process in both] == [0, 0]
    done = run(tmp_path, "check", "--store", "sqlite:x.db")
    assert (done.returncode, "500 versions in" in done.stdout) == (0, True)
