"""Figures as a table: median, p95 and p99 with units, the aim, and whether it is met. The table is Markdown."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import NamedTemporaryFile
from time import perf_counter
from typing import Final

ENGINE: Final = f"SQLite {sqlite3.sqlite_version}"
_HEAD: Final = ("what", "size", "result", "p50", "p95", "p99", "aim", "met")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table; ``met`` is None where there is no aim."""

    what: str
    size: str
    result: str = ""
    samples: Sequence[float] = ()
    """Seconds."""
    aim: str = ""
    met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        met = "" if self.met is None else "yes" if self.met else "**no**"
        return self.what, self.size, self.result, *_quantiles(self.samples), self.aim, met


def percentile(samples: Iterable[float], share: float) -> float:
    """Return the least sample that so large a share of them does not pass (nearest rank)."""
    ordered = sorted(samples)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def table(rows: Iterable[Row]) -> str:
    lines = [_HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([text[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *text[1:]])


def conditions(folder: Path) -> str:
    """Return what the figures depend on: engine, machine, its load, its disk, the date."""
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    return (
        f"{ENGINE}, one worker; {os.cpu_count()} cores ({_processor()}), {load} before the run; "
        f"Python {platform.python_version()}, {platform.system()}; "
        f"fsync {_fsync_seconds(folder) * 1000:.2f} ms; {datetime.now(UTC):%Y-%m-%d}"
    )


def number(value: int) -> str:
    """Return a whole number with its thousands apart."""
    return f"{value:,}".replace(",", " ")


def _quantiles(samples: Sequence[float]) -> tuple[str, str, str]:
    if not samples:
        return "", "", ""
    found = [percentile(samples, share) * 1000 for share in (0.5, 0.95, 0.99)]
    return tuple(f"{each:.2f} ms" if each < 100 else f"{each:.0f} ms" for each in found)  # type: ignore[return-value]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _fsync_seconds(folder: Path) -> float:
    """Return what making 4 kB durable takes in a folder: the least that one commit can take."""
    taken = []
    with NamedTemporaryFile(dir=folder) as file:
        for _ in range(20):
            started = perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            taken.append(perf_counter() - started)
    return median(taken)
