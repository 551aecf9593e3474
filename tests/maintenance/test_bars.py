"""A person at a terminal sees how far a command is; a file that takes its output holds no bar."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import termios
from contextlib import suppress
from pathlib import Path

import pytest

from tests.command import command, environment, run


def seen(folder: Path, *arguments: str) -> str:
    """Run a command at a terminal of its own; return what stands there."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = subprocess.Popen(
        command(*arguments), cwd=folder, env=environment(TERM="xterm"), stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    parts = []
    with suppress(OSError):  # the other side has closed it
        while part := os.read(ours, 65_536):
            parts.append(part)
    os.close(ours)
    assert process.wait(120) == 0
    return b"".join(parts).decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = (json.dumps({"resourceType": "Organization", "id": f"o{n}", "name": f"O{n}"}) for n in range(2_000))
    (tmp_path / "in.ndjson").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_load_and_export_show_a_bar_at_a_terminal_only(folder: Path) -> None:
    assert "Loading: " in seen(folder, "load", "in.ndjson", "--store", "sqlite:store.db")
    assert "Exporting: " in seen(folder, "export", "out", "--store", "sqlite:store.db")
    for arguments in (("load", "in.ndjson"), ("export", "out2")):
        done = run(folder, *arguments, "--store", "sqlite:store.db")
        assert done.returncode == 0 and "ing: " not in done.stderr, done.stderr
