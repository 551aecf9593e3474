"""The frame of each program: its arguments, its folder, its end."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from benchmarks.client import WrongAnswer
from benchmarks.report import Row, conditions, table
from benchmarks.server import ServerFailed


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured, and where."""

    folder: Path
    """For filled stores; those already there are used again."""
    scratch: Path
    """For all else; empty at first, removed at the end."""
    slots: tuple[int, ...]
    """Sizes of the stores that are searched."""
    imported: int
    """Resources of an import."""
    seconds: float
    """The longest that one measurement goes on, apart from imports."""
    requests: int
    """The most requests of one measurement."""
    made: list[str] = field(default_factory=list)
    """What was said on the way: how stores were filled."""

    @property
    def least(self) -> int:
        return self.slots[0]


Measure = Callable[[Scale], Awaitable[list[Row]]]


def main(question: str, measure: Measure, *, is_small: bool = False) -> None:
    """Answer one question: parse the arguments, measure, print, clean up, exit. ``is_small``: small by default."""
    parser = argparse.ArgumentParser(description=question)
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--small", action="store_true", help="10 000 slots only, and short runs")
    sizes.add_argument("--full", action="store_true", help="10 000 and 100 000 slots, an import of 100 000 resources")
    sizes.add_argument("--million", action="store_true", help="1 000 000 slots too: filling takes long, 5 GB of disk")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep filled stores here, and use them again")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table to a file too")
    options = parser.parse_args()
    if not (options.small or options.full or options.million):
        options.small = is_small
    signal.signal(signal.SIGTERM, _leave)
    try:
        text = _measured(question, measure, options)
    except (WrongAnswer, ServerFailed, TimeoutError) as error:
        sys.exit(f"Not measured: {error}")
    except BaseExceptionGroup as group:
        failed = group.subgroup((WrongAnswer, ConnectionError, TimeoutError))
        if failed is None:
            raise
        sys.exit(f"Not measured: {_first(failed)}")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.stdout.write(text)
    if options.write is not None:
        options.write.write_text(text, encoding="utf-8")


def _measured(question: str, measure: Measure, options: argparse.Namespace) -> str:
    with TemporaryDirectory(prefix="fhir-benchmark-") as temporary:
        folder: Path = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        scale = _scale(folder, Path(temporary), options)
        told = conditions(folder)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            rows = runner.run(_whole(measure, scale))
    said = "".join(f"{line}\n" for line in scale.made)
    return f"{question}\n\n{told}\n{said}\n{table(rows)}\n"


async def _whole(measure: Measure, scale: Scale) -> list[Row]:
    return await measure(scale)


def _scale(folder: Path, scratch: Path, options: argparse.Namespace) -> Scale:
    if options.small:
        return Scale(folder, scratch, (10_000,), 10_000, seconds=4, requests=400)
    slots: Sequence[int] = (10_000, 100_000, 1_000_000) if options.million else (10_000, 100_000)
    return Scale(folder, scratch, tuple(slots), 100_000, seconds=15, requests=2_000)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _leave(_number: int, _frame: object) -> None:
    sys.exit(143)
