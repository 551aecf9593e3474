"""What runs beside a block ends with it, and takes no cancellation for its own that is not."""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.storage.beside import beside
from tests.cancelling import kept


async def for_ever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise ValueError("wrong")


async def test_whoever_waits_for_its_end_is_cancelled() -> None:
    async def work() -> None:
        async with beside(for_ever()):
            await asyncio.sleep(0)

    assert await kept(work) == []


async def test_work_that_failed_is_told() -> None:
    with pytest.raises(ValueError, match="wrong"):
        async with beside(fail()):
            await asyncio.sleep(0)
