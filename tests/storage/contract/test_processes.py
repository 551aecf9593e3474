"""Several processes that write one store, on every engine."""

from __future__ import annotations

from itertools import pairwise

from fhir_server.search.query import Equality
from fhir_server.storage.protocol import Store
from tests.storage.contract.processes import together
from tests.storage.contract.test_commit import holders, whole_log
from tests.storage.writing import SLOT


async def test_no_update_is_lost_among_processes(store: Store, place: str) -> None:
    said = together(place, "count-up", 25, 4)
    assert sorted(int(line) for lines in said for line in lines) == list(range(1, 101))
    log = await whole_log(store)
    assert [commit.number for commit in log] == list(range(1, len(log) + 1))
    assert [change.version for commit in log for change in commit.changes] == list(range(1, 101))
    assert all(one.instant <= other.instant for one, other in pairwise(log))
    stored = await store.read(SLOT)
    assert stored is not None
    assert stored.version == 100


async def test_an_identifier_is_taken_by_one_process(store: Store, place: str) -> None:
    said = together(place, "identify", 100, 4)
    assert sorted(int(line) for lines in said for line in lines) == list(range(100))
    for number in (0, 50, 99):
        assert len(await holders(store, Equality("identifier", str(number)))) == 1


async def test_processes_take_turns(store: Store, place: str) -> None:
    """One among several that all write without pause is not left behind."""
    done = [int(line) for (line,) in together(place, "saturate", 2_000, 4)]
    assert min(done) * 2 >= sum(done) / len(done), done
