"""Questions asked together are answered each, by nothing that is older than they are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from fhir_server.storage.mongo.gathering import FLIGHTS, Gathered


class Answering:
    """Answers with the time of the question; some keys have no answer."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.now = 0

    async def __call__(self, keys: Sequence[str]) -> Mapping[str, int]:
        self.asked.append(list(keys))
        now = self.now
        await asyncio.sleep(0.01)
        if "bad" in keys:
            raise ConnectionError
        return {key: now for key in keys if key != "none"}


async def test_one_question_goes_alone_and_at_once() -> None:
    answering = Answering()
    gathered = Gathered(answering)
    assert await gathered.get("a") == 0
    assert await gathered.get("none") is None
    assert answering.asked == [["a"], ["none"]]


async def test_questions_at_the_same_time_are_one() -> None:
    answering = Answering()
    gathered = Gathered(answering)
    assert await asyncio.gather(*[gathered.get(key) for key in ("a", "b", "a", "none")]) == [0, 0, 0, None]
    assert answering.asked == [["a", "b", "none"]]


async def test_who_comes_in_the_next_turn_of_the_loop_is_taken_along() -> None:
    answering = Answering()
    gathered = Gathered(answering)
    first = asyncio.create_task(gathered.get("a"))
    await asyncio.sleep(0)
    assert await gathered.get("b") == await first == 0
    assert answering.asked == [["a", "b"]]


async def test_who_asks_later_gets_no_older_answer() -> None:
    answering = Answering()
    gathered = Gathered(answering)
    flying = []
    for flight in range(FLIGHTS):
        flying.append(asyncio.create_task(gathered.get("a")))
        await asyncio.sleep(0.001)
        answering.now = flight + 1
    late = [asyncio.create_task(gathered.get(key)) for key in ("a", "b")]
    await asyncio.sleep(0)
    answering.now = 7
    assert await asyncio.gather(*late) == [7, 7]
    assert await asyncio.gather(*flying) == list(range(FLIGHTS))
    assert answering.asked[FLIGHTS:] == [["a", "b"]]


async def test_a_failure_is_told_to_all_who_asked_and_to_no_other() -> None:
    gathered = Gathered(Answering())
    results = await asyncio.gather(gathered.get("bad"), gathered.get("a"), return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionError, ConnectionError]
    assert await gathered.get("a") == 0


async def test_who_goes_away_takes_nobody_along() -> None:
    gathered = Gathered(Answering())
    going, staying = asyncio.create_task(gathered.get("a")), asyncio.create_task(gathered.get("a"))
    await asyncio.sleep(0)
    going.cancel()
    assert await staying == 0
    with pytest.raises(asyncio.CancelledError):
        await going
