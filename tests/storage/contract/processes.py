"""Several processes on one store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.rounds import FULL

ROOT: Final = Path(__file__).parents[3]
SECONDS: Final = 1_800 if FULL else 60


def start(place: str, task: str, name: str, count: int) -> subprocess.Popen[str]:
    """Start a worker; it waits for ``go``."""
    return _popen(place, task, name, str(count))


def go(worker: subprocess.Popen[str]) -> None:
    _tell(worker, "go")


def until_ready(worker: subprocess.Popen[str]) -> None:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if line != "ready\n":
        assert worker.stderr is not None
        raise AssertionError(worker.stderr.read())


class Crew:
    """Workers that are kept from one task to the next: to start one takes longer than most of them."""

    def __init__(self, count: int) -> None:
        self._workers = [_popen() for _ in range(count)]
        self._threads = ThreadPoolExecutor(count)

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout, worker.stderr):
                if pipe is not None:
                    pipe.close()
        self._threads.shutdown()

    def together(self, place: str, task: str, count: int) -> list[list[str]]:
        """Let all do one task at the same time; return the lines that each said."""
        with self.at_work(place, task, count) as said:
            return [lines.result(SECONDS) for lines in said]

    @contextmanager
    def at_work(self, place: str, task: str, count: int = 0) -> Iterator[list[Future[list[str]]]]:
        """Let all do one task from the beginning of the block; at its end they are told to stop, if they do not."""
        for number, worker in enumerate(self._workers):
            _tell(worker, f"{place} {task} worker{number} {count}")
        for worker in self._workers:
            until_ready(worker)
        for worker in self._workers:
            go(worker)
        said = [self._threads.submit(_until_done, worker) for worker in self._workers]
        try:
            yield said
        finally:
            for worker in self._workers:
                _tell(worker, "stop")
            for lines in said:
                lines.result(SECONDS)


def _until_done(worker: subprocess.Popen[str]) -> list[str]:
    assert worker.stdout is not None
    lines: list[str] = []
    while (line := worker.stdout.readline()) != "done\n":
        if not line:
            assert worker.stderr is not None
            raise AssertionError(worker.stderr.read())
        lines.append(line.rstrip("\n"))
    return lines


def _tell(worker: subprocess.Popen[str], text: str) -> None:
    assert worker.stdin is not None
    worker.stdin.write(f"{text}\n")
    worker.stdin.flush()


def _popen(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.storage.contract.worker", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
