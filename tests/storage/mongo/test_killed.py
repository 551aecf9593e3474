"""A process that is killed when its commit is in the log and nothing is made of it yet."""

from __future__ import annotations

import asyncio
from typing import Final

import bson
import pytest

from tests.rounds import FULL
from tests.storage.conftest import store_at
from tests.storage.contract import processes
from tests.storage.contract.test_crash import SERIES, check_after_kill
from tests.storage.mongo.conftest import through
from tests.storage.mongo.proxy import Direction, Fate, Proxy
from tests.storage.writing import FixedClock

ROUNDS: Final = 50 if FULL else 3
OP_MSG: Final = 2013
HEAD_BYTES: Final = 21
"""Of a message before its command: length, two numbers, the kind of message, flags, the kind of section."""


class BetweenAppendingAndApplying:
    """Lets a process append some commits; what it would make of the last one never arrives."""

    def __init__(self, commits: int) -> None:
        self.commits = commits
        self.reached = asyncio.Event()

    def __call__(self, direction: Direction, message: bytes) -> Fate:
        if direction == "request" and _inserts_into(message).endswith(".versions"):
            self.commits -= 1
            if self.commits < 0:
                self.reached.set()
        return "cut before" if self.reached.is_set() else "pass"


def _inserts_into(message: bytes) -> str:
    """Return the collection that a message inserts into; empty: it does not."""
    if int.from_bytes(message[12:16], "little") != OP_MSG:
        return ""
    size = int.from_bytes(message[HEAD_BYTES : HEAD_BYTES + 4], "little")
    return str(bson.decode(message[HEAD_BYTES : HEAD_BYTES + size]).get("insert", ""))


@pytest.mark.torture
async def test_what_a_killed_process_has_appended_is_applied_by_others(
    proxy: Proxy,
    uri: str,
    clock: FixedClock,
) -> None:
    acknowledged: dict[str, int] = {}
    for round_ in range(ROUNDS):
        fate = proxy.decide = BetweenAppendingAndApplying(commits=round_ % 4)
        worker = processes.start(f"mongo:{through(proxy, uri)}", "torture", f"w{round_ % 3}", SERIES)
        await asyncio.to_thread(processes.until_ready, worker)
        processes.go(worker)
        async with asyncio.timeout(30):
            await fate.reached.wait()
        worker.kill()
        said, _ = await asyncio.to_thread(worker.communicate)
        for line in said.splitlines():
            series, version = line.split()
            acknowledged[f"w{round_ % 3}-{series}"] = int(version)
        store = store_at(f"mongo:{uri}", clock)
        await store.open()
        try:
            await check_after_kill(store, acknowledged)
        finally:
            await store.close()
