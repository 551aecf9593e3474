"""Running the command: in this process, or in one of its own."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Final
from unittest.mock import patch

from fhir_server.__main__ import main

ROOT: Final = Path(__file__).parent.parent


def environment(**variables: str) -> dict[str, str]:
    """Return the variables of this process without settings, and with those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_")}
    return kept | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"} | variables


def command(*arguments: str) -> list[str]:
    """Return what starts a command in a process of its own."""
    return [sys.executable, "-m", "fhir_server", *arguments]


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, as if it had one of its own: to start one takes longer than most commands."""
    output, errors = StringIO(), StringIO()
    with (
        patch.dict(os.environ, environment(**variables), clear=True),
        chdir(folder),
        redirect_stdout(output),
        redirect_stderr(errors),
        _undone(),
    ):
        code = _exit_code(arguments)
    return subprocess.CompletedProcess(command(*arguments), code, output.getvalue(), errors.getvalue())


@contextmanager
def _undone() -> Iterator[None]:
    """Take back what a command does to its process: where it logs, and what a signal does."""
    handler = signal.getsignal(signal.SIGTERM)
    loggers = [logging.getLogger(name) for name in (None, "fhir_server", "uvicorn")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        for logger, level, handlers in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers


def _exit_code(arguments: Sequence[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code
