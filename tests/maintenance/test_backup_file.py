"""The file of a backup says what was written, or is refused: cut, changed, of a newer program."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.maintenance.backup_file import VERSION, BackupReader, BackupWriter, Damaged, Header, TooNew
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.storage.protocol import Address, Commit, Stored

WRITES = (Interaction.CREATE, Interaction.UPDATE, Interaction.PATCH, Interaction.DELETE)

changes = st.tuples(
    st.builds(Key, st.text(max_size=20), st.text(max_size=64)),
    st.integers(1, 2**40),
    st.integers(0, 2**60),
    st.sampled_from(WRITES),
    st.none() | st.binary(max_size=200),
)
logs = st.lists(st.tuples(st.integers(0, 2**60), st.lists(changes, max_size=4)), max_size=5)


def commits_of(log: list[tuple[int, list[tuple[Key, int, int, Interaction, bytes | None]]]]) -> list[Commit]:
    return [
        Commit(
            number,
            instant,
            0,
            1,
            tuple(Stored(*change, Address(number, position)) for position, change in enumerate(own)),
        )
        for number, (instant, own) in enumerate(log, 1)
    ]


def written(commits: list[Commit], *, end: bool = True) -> bytes:
    stream = io.BytesIO()
    writer = BackupWriter(stream, Header("log", len(commits), 0, 1, 5, "0.1.0"))
    for commit in commits:
        writer.add(commit)
    if end:
        writer.end()
    return stream.getvalue()


def read(data: bytes) -> list[Commit]:
    return list(BackupReader(io.BytesIO(data)).commits())


@given(logs)
def test_what_was_written_is_read(log: list[tuple[int, list[tuple[Key, int, int, Interaction, bytes | None]]]]) -> None:
    commits = commits_of(log)
    data = written(commits)
    assert read(data) == commits
    reader = BackupReader(io.BytesIO(data))
    assert reader.header == Header("log", len(commits), 0, 1, 5, "0.1.0")


@given(logs, st.data())
def test_cut_or_changed_bytes_are_never_taken_for_a_backup(
    log: list[tuple[int, list[tuple[Key, int, int, Interaction, bytes | None]]]], data: st.DataObject
) -> None:
    whole = written(commits_of(log))
    place = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises((Damaged, TooNew)):
        read(whole[:place])
    changed = bytearray(whole)
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises((Damaged, TooNew)):
        read(bytes(changed))


TWO = commits_of(
    [
        (7, [(Key("Slot", "a"), 1, 7, Interaction.CREATE, b'{"a":1}'), (Key("Slot", "b"), 1, 7, WRITES[0], b"{}")]),
        (8, [(Key("Slot", "a"), 2, 8, Interaction.DELETE, None)]),
    ]
)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data + b"{}\n", "something follows its end"),
        (lambda data: b"".join(data.splitlines(keepends=True)[:1] + data.splitlines(keepends=True)[7:]), "commit 1"),
        (lambda _data: written(TWO, end=False), "cut"),
        (lambda data: data.replace(b'"bytes":7', b'"bytes":99999999999'), "cannot be"),
        (lambda data: data.replace(b'"bytes":7', b'"bytes":-7'), "no number that can be"),
        (lambda data: data.replace(b'"instant":7', b'"instant":7%s' % (b"0" * 30)), "no number that can be"),
        (lambda data: data.replace(b'{"commit":1', b"[" * 60_000 + b'{"commit":1', 1), "a record is expected"),
        (lambda _data: b'{"resourceType":"Slot"}\n', "no backup"),
        (lambda _data: b"", "no backup"),
        (lambda _data: b"x" * 100_000, "no backup"),
        (lambda data: data.replace(b'"commits":2,"generation"', b'"commits":"2","generation"'), "header"),
    ],
)
def test_damage_is_named(change: Callable[[bytes], bytes], reason: str) -> None:
    with pytest.raises(Damaged, match=reason):
        read(change(written(TWO)))


def test_newer_format_is_told_from_damage() -> None:
    data = written(TWO).replace(b'"version":1,"log"', b'"version":%d,"log"' % (VERSION + 1), 1)
    with pytest.raises(TooNew, match=f"format {VERSION + 1}"):
        read(data)


@pytest.mark.parametrize("version", [b"0", b"-1", b'"1"'])
def test_format_that_never_was_is_refused(version: bytes) -> None:
    data = written(TWO).replace(b'"version":1,"log"', b'"version":%s,"log"' % version, 1)
    with pytest.raises(TooNew, match="knows formats"):
        read(data)


def test_damaged_compression_is_damage() -> None:
    whole = gzip.compress(written(TWO), mtime=0)
    for data in (whole[:-1], whole[:40], whole[:30] + b"\xff\xff" + whole[32:], b"not gzip"):
        with pytest.raises(Damaged), gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            list(BackupReader(stream).commits())


def test_records_are_lines_that_people_can_read() -> None:
    lines = [json.loads(line) for line in written(TWO).splitlines()]
    assert lines[0]["format"] == "fhir-server-backup"
    assert lines[1] == {"commit": 1, "instant": 7, "generation": 0, "schema": 1, "changes": 2}
    assert lines[2]["bytes"] == 7
    assert lines[3] == {"a": 1}
