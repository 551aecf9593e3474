"""What a person reads: answers on standard output, everything else on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from fhir_server.maintenance.progress import CommandFailed
from fhir_server.settings import StartError
from fhir_server.storage.protocol import StoreError

EXPECTED: Final = (StartError, StoreError, CommandFailed)
"""What may stop a command without being a bug: its text is enough."""


def open_streams() -> None:
    """Open what the program was started without (``2>&-``), to nowhere: what is written goes on, and no file or socket
    gets the number of standard error. Processes that this one starts inherit it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this stream's
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


@contextmanager
def heard_or_not(stream: TextIO) -> Iterator[None]:
    """Where nobody reads a stream any more (``| head``), what is written goes nowhere, and the command goes on."""
    try:
        yield
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def say(text: str) -> None:
    """Write what was asked for, a line or more, to standard output."""
    with heard_or_not(sys.stdout):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def complain(text: str) -> None:
    """Write what is wrong, or was not asked for, to standard error."""
    with heard_or_not(sys.stderr):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def refuse(error: Exception, code: int) -> int:
    """Say why a command stops; return its exit code."""
    text = f"The store cannot be used: {error}." if isinstance(error, StoreError) else str(error)
    complain(f"fhir-server: {text}")
    return code


def number(count: int, what: str = "") -> str:
    """Return a count as people read it: ``1,234``, ``1 file``, ``2 files``."""
    if not what:
        return f"{count:,}"
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
