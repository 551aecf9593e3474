"""Several processes on one store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.rounds import FULL

ROOT: Final = Path(__file__).parents[3]
SECONDS: Final = 1_800 if FULL else 60


def start(place: str, task: str, name: str, count: int) -> subprocess.Popen[str]:
    """Start a worker; it waits for ``go``."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.storage.contract.worker", place, task, name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def go(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()


def until_ready(worker: subprocess.Popen[str]) -> None:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if line != "ready\n":
        assert worker.stderr is not None
        raise AssertionError(worker.stderr.read())


def together(place: str, task: str, count: int, workers: int) -> list[list[str]]:
    """Let so many workers do one task at the same time; return the lines that each said."""
    running = [start(place, task, f"worker{n}", count) for n in range(workers)]
    try:
        for worker in running:
            until_ready(worker)
        for worker in running:
            go(worker)
        said = [worker.communicate(timeout=SECONDS) for worker in running]
    finally:
        for worker in running:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout, worker.stderr):
                if pipe is not None:
                    pipe.close()
    for worker, (_, errors) in zip(running, said, strict=True):
        assert worker.returncode == 0, errors
    return [lines.splitlines() for lines, _ in said]
