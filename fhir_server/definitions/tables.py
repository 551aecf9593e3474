"""The tables of R4 as text: which file holds what, and how a file is cut into blocks.

The files stand in ``r4/``, with ``SOURCES.md``; what this project adds stands in ``added/``.
Spec: https://hl7.org/fhir/R4/downloads.html
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fhir_server.definitions.canonical import HL7

R4: Final = Path(__file__).parent / "r4"
ADDED: Final = Path(__file__).parent / "added"


def read_lines(file: Path) -> list[str]:
    """Return the lines of a table, without comments and empty lines."""
    text = file.read_text(encoding="utf-8")
    return [line for line in text.split("\n") if line and line[0] != "#"]


def read_blocks(file: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the blocks of a table, parted by an empty line: the first line, and the others."""
    for block in file.read_text(encoding="utf-8").split("\n\n"):
        if block[0] != "#":
            head, *lines = block.rstrip("\n").split("\n")
            yield head, lines


def expand_value_set(name: str) -> str:
    """Return the canonical URL of a value set that a table may give relative to HL7's base."""
    return name if "://" in name else f"{HL7}ValueSet/{name}"
