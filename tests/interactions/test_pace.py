"""Writes let reads go first, and come to their turn all the same."""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.interactions import pace
from fhir_server.interactions.pace import Pace, Reads


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """The reads of the process; each turn of a pace is over at once, and courtesy lasts."""
    monkeypatch.setattr(pace, "LOOP_SECONDS", -1.0)
    monkeypatch.setattr(pace, "COURTESY_SECONDS", 60.0)
    monkeypatch.setattr(pace, "READS", Reads())
    return pace.READS


async def test_a_write_stands_back_until_the_reads_are_over(reads: Reads) -> None:
    with reads:
        writing = asyncio.create_task(Pace().keep())
        await asyncio.sleep(0.02)
        assert not writing.done()
    async with asyncio.timeout(5):
        await writing


async def test_a_read_waits_for_no_other(reads: Reads) -> None:
    with reads:
        async with asyncio.timeout(5):
            await Pace(is_read=True).keep()


async def test_a_write_comes_to_its_turn_though_reads_never_end(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "COURTESY_SECONDS", 0.01)
    with reads:
        async with asyncio.timeout(5):
            await Pace().keep()


def test_reads_are_counted_when_they_fail_too(reads: Reads) -> None:
    with pytest.raises(LookupError), reads, reads:
        raise LookupError
    assert not reads
