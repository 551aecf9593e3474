"""Random small transactions against a naive model: its entries done one by one, in every order.

Deletions come first; the order of all else says nothing. So what the server does must be what one of the orders does,
it must do it where all orders agree, and criteria that were asked never end up with several matches.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import count, permutations
from typing import Any, Final, NamedTuple

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.rest.asking import SYSTEM, Json, entry, place, post, practitioner, status
from tests.rest.conftest import Server

VALUES: Final = ("a", "b", "c")
IDS: Final = ("p", "q")
_examples = count()


class Op(NamedTuple):
    """``target`` is an id or, where ``by`` is set, empty; ``value`` is the identifier written."""

    method: str
    value: str = ""
    by: str = ""
    target: str = ""


class Overlap(Exception):
    """The transaction is refused."""


Result = tuple[int, object]
"""Status, and which resource: an id, or the entry that made it."""


@dataclass
class Model:
    """Practitioners by id, each with one identifier. What is new has the place of its entry for an id."""

    people: dict[Any, str]
    written: set[object] = field(default_factory=set)

    def matches(self, value: str) -> list[object]:
        return [id_ for id_, has in self.people.items() if has == value]

    def write(self, id_: object, value: str | None) -> None:
        if id_ in self.written:
            raise Overlap
        self.written.add(id_)
        if value is None:
            self.people.pop(id_, None)
        else:
            self.people[id_] = value

    def delete(self, ops: list[Op]) -> None:
        for id_ in [id_ for op in ops for id_ in (self.matches(op.by) if op.by else [op.target])]:
            self.write(id_, None)

    def do(self, at: int, op: Op) -> Result:
        found = self.matches(op.by) if op.by else [op.target]
        if op.by and len(found) > 1:
            raise Overlap
        if op.method == "POST" and op.by and found:
            return 200, found[0]
        id_ = found[0] if op.method == "PUT" and found else at
        known = 200 if id_ in self.people else 201
        self.write(id_, op.value)
        return known, id_


Outcome = tuple[dict[int, Result], dict[object, str]] | None
"""Answers and people, or None where a transaction is refused."""


def outcomes(stored: dict[str, str], ops: list[Op]) -> list[Outcome]:
    """Return what each order leads to."""
    deletions = [(at, op) for at, op in enumerate(ops) if op.method == "DELETE"]
    others = [(at, op) for at, op in enumerate(ops) if op.method != "DELETE"]
    found: list[Outcome] = []
    for order in permutations(others):
        model = Model(dict(stored))
        try:
            model.delete([op for _, op in deletions])
            answers: dict[int, Result] = dict.fromkeys((at for at, _ in deletions), (204, ""))
            answers.update((at, model.do(at, op)) for at, op in order)
        except Overlap:
            found.append(None)
        else:
            found.append((answers, model.people))
    return found


values = st.sampled_from(VALUES)
operations = st.one_of(
    st.builds(lambda value: Op("POST", value), values),
    st.builds(lambda value, by: Op("POST", value, by), values, values),
    st.builds(lambda value, target: Op("PUT", value, target=target), values, st.sampled_from(IDS)),
    st.builds(lambda value, by: Op("PUT", value, by), values, values),
    st.builds(lambda target: Op("DELETE", target=target), st.sampled_from(IDS)),
    st.builds(lambda by: Op("DELETE", by=by), values),
)


@given(
    stored=st.dictionaries(st.sampled_from(IDS), values),
    ops=st.lists(operations, min_size=1, max_size=4),
)
@example(stored={}, ops=[Op("POST", "a"), Op("PUT", "a", "a")])
@example(stored={}, ops=[Op("PUT", "a", target="p"), Op("PUT", "a", "a")])
@example(stored={}, ops=[Op("PUT", "a", target="p"), Op("POST", "a", "a")])
@example(stored={}, ops=[Op("POST", "a"), Op("POST", "a", "a")])
@example(stored={"p": "a"}, ops=[Op("PUT", "b", target="p"), Op("POST", "a", "a"), Op("POST", "b", "b")])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_transaction_does_what_some_order_of_its_entries_does(
    server: Server, stored: dict[str, str], ops: list[Op]
) -> None:
    run = next(_examples)
    http = server.http
    for id_, value in stored.items():
        body = practitioner("Avant", f"{run}{value}", id=f"{id_}{run}")
        assert (await http.put(f"Practitioner/{id_}{run}", json=body)).status_code == 201
    response = await post(http, "transaction", *(as_entry(run, at, op) for at, op in enumerate(ops)))
    possible = outcomes(stored, ops)
    if response.status_code != 200:
        assert response.status_code in (400, 412), response.text
        first = possible[0]
        assert any(other != first for other in possible) or first is None, (stored, ops, response.text)
        assert await people(server, run) == Counter((f"{id_}{run}", value) for id_, value in stored.items())
        return
    answers = response.json()["entry"]
    now = await people(server, run)
    fitting = [one for one in possible if one is not None and fits(run, answers, now, *one)]
    assert fitting, (stored, ops, answers, now)
    holders = Counter(value for (_, value), times in now.items() for _ in range(times))
    assert all(holders[op.by] <= 1 for op in ops if op.by and op.method != "DELETE"), (stored, ops, now)


def as_entry(run: int, at: int, op: Op) -> Json:
    """Return the entry of an operation; identifiers and ids are of this run only."""
    url = "Practitioner"
    if op.target:
        url += f"/{op.target}{run}"
    criteria = f"identifier={SYSTEM}|{run}{op.by}"
    if op.method == "DELETE":
        return entry("DELETE", url if op.target else f"{url}?{criteria}")
    more = {"id": f"{op.target}{run}"} if op.target else {}
    body = practitioner(f"Entrée {at}", f"{run}{op.value}", **more)
    if op.method == "POST":
        return entry("POST", url, body, **({"ifNoneExist": criteria} if op.by else {}))
    return entry("PUT", f"{url}?{criteria}" if op.by else url, body)


async def people(server: Server, run: int) -> Counter[tuple[str, str]]:
    """Return id and identifier of each Practitioner of this run."""
    wanted = ",".join(f"{SYSTEM}|{run}{value}" for value in VALUES)
    found = (await server.http.get(f"Practitioner?identifier={wanted}")).json().get("entry", ())
    resources = [one["resource"] for one in found]
    return Counter((r["id"], r["identifier"][0]["value"].removeprefix(str(run))) for r in resources)


def fits(
    run: int, answers: list[Json], now: Counter[tuple[str, str]], wanted: dict[int, Result], left: dict[object, str]
) -> bool:
    """Tell whether the server's answers and resources are those of an outcome, whatever ids it chose."""
    chosen: dict[object, str] = {id_: f"{id_}{run}" for id_ in IDS}
    for at, (code, id_) in wanted.items():
        if status(answers[at]) != code:
            return False
        if code != 204:
            told = place(answers[at]).partition("/")[2]
            if chosen.setdefault(id_, told) != told:
                return False
    return now == Counter((chosen[id_], value) for id_, value in left.items())
