"""What is asked of a store, and how each type of it is answered: by a walk along an index, or by all that matches.

Where candidates come from is chosen in ``choosing``; what is selective is collected, anything else is walked in the
order wanted (``paging``). A walk that finds too little for its cost gives way to a more thorough choice.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any, NamedTuple, TypeAlias

from fhir_server.model.reference import Key
from fhir_server.search.query import Cursor, Node, Page, Query
from fhir_server.storage.protocol import Match, Matches
from fhir_server.storage.ranking import ranking
from fhir_server.storage.sqlite.choosing import Choice, Chooser, Effort
from fhir_server.storage.sqlite.connection import Impatient
from fhir_server.storage.sqlite.counting import Counts, count_all
from fhir_server.storage.sqlite.drivers import Driver
from fhir_server.storage.sqlite.paging import Paging, Part
from fhir_server.storage.sqlite.pruning import Pruning, is_everything
from fhir_server.storage.sqlite.reading import Reading, make
from fhir_server.storage.sqlite.sql import bind, build

Row: TypeAlias = tuple[Any, ...]
"""A cursor as it was read: sort values, and last the ordinal."""


EFFORT = Effort()


class _Plan(NamedTuple):
    """What is asked of one type, and how it is answered."""

    type: int
    where: Node
    choice: Choice


class Planner:
    """Plans and runs queries on one connection, inside the caller's transaction.

    It keeps what it has learnt of a query, for the count that follows a search.
    """

    def __init__(self, reading: Reading, counts: Counts | None = None, effort: Effort | None = None) -> None:
        """``counts`` are those that a snapshot knows; a writer's state has no change number yet, and knows none."""
        self._reading = reading
        self._counts = counts
        self._number = 0
        self._connection = reading.connection
        self._names = reading.names
        self._effort = effort or EFFORT
        self._chooser = Chooser(reading, self._effort)
        self._paging = Paging(reading, self._chooser, self._effort)
        self.ordinals: dict[Key, int] = {}
        """Those of the resources found."""
        self._plans: dict[tuple[str, Node], _Plan] = {}
        self._totals: dict[tuple[str, Node], int] = {}

    def begin(self, number: int) -> None:
        """Forget what was so in another transaction; the head that this one sees has the change number."""
        self._number = number
        self._plans.clear()
        self._totals.clear()
        self._chooser.forget()
        self.ordinals.clear()

    def search(self, query: Query, page: Page) -> Matches:
        """Return one page of a result."""
        backward = page.before is not None
        cursors: list[Row] = []
        for name in dict.fromkeys(query.types):
            cursors += self._cursors(name, query, page)
        if len(query.types) > 1:
            cursors.sort(key=ranking(query.sort), reverse=backward)
        chosen = cursors[: page.count]
        found = self._reading.by_ordinal([cursor[-1] for cursor in chosen], page.bytes)
        self.ordinals.update((stored.key, ordinal) for ordinal, stored in found.items())
        matches = [make(Match, (found[cursor[-1]], cursor)) for cursor in chosen[: len(found)]]
        if backward:
            matches.reverse()
        return Matches(tuple(matches), more=len(matches) < len(cursors))

    def count(self, query: Query) -> int:
        total = 0
        for name in dict.fromkeys(query.types):
            known = self._totals.get((name, query.where))
            plan = self._plan(name, query.where) if known is None else None
            if plan is not None:
                known = self._totals[name, query.where] = self._count(plan)
            total += known or 0
        return total

    def _count(self, plan: _Plan) -> int:
        if is_everything(plan.where):
            if self._counts is None:
                return count_all(self._reading, plan.type)
            return self._counts.count(self._reading, plan.type, self._number)
        candidates = self._chooser.candidates(plan.type, plan.choice)
        statement = build("SELECT count(DISTINCT ordinal) FROM ({})", candidates)
        return int(self._connection.execute(*statement).fetchone()[0])

    def _plan(self, name: str, where: Node) -> _Plan | None:
        """Return how a query is answered for one type, or None if no resource of it was ever stored."""
        plan = self._plans.get((name, where))
        number = self._names.type(name)
        if plan is None and number is not None:
            kept = Pruning(self._names, self._chooser.finds_any).pruned(where, number)
            plan = self._plans[name, where] = _Plan(number, kept, self._chooser.choose(number, kept))
        return plan

    def _cursors(self, name: str, query: Query, page: Page) -> list[Cursor]:
        """Return up to one more than a page of matches of one type, in the direction read."""
        plan = self._plan(name, query.where)
        if plan is None:
            return []
        number, where, choice = plan
        size = choice.size
        if size is None and choice.driver is not None and (query.sort or not choice.driver.ordered):
            few = None if choice.rest else self._few(choice.driver)
            if few is not None:
                self._totals[name, query.where] = len(few)
                if not query.sort:
                    return _cut(few, page)
            size = self._chooser.sized(choice.driver) if few is None else len(few)
        part = Part(number, query.sort, page)
        if (size is not None and size < self._effort.unselective) or not self._paging.can_walk(part):
            return self._paging.collect(part, choice)
        if choice.driver is None:
            return self._paging.walk(part, choice)
        try:
            with self._reading.meter.patience(self._effort.patience):
                return self._paging.walk(part, choice)
        except Impatient:  # each filter alone finds much, all together little
            return self._paging.collect(part, self._chooser.choose(number, where, thorough=True))

    def _few(self, driver: Driver) -> list[int] | None:
        """Return the ordinals of all that a driver finds, in order, or None if they are not few."""
        bound = self._effort.bounds[0]
        rows = self._connection.execute(*build("{} LIMIT {}", driver.sql, bind(bound))).fetchall()
        return sorted({ordinal for (ordinal,) in rows}) if len(rows) < bound else None

    def matching(self, name: str, where: Node, limit: int) -> list[int]:
        """Return the ordinals of the first matches of a type, in order of creation."""
        cursors = self._cursors(name, Query((name,), where), Page(limit))
        return [int(cursor[-1]) for cursor in cursors[:limit]]  # type: ignore[arg-type] # ordinals


def _cut(ordinals: list[int], page: Page) -> list[Cursor]:
    """Return up to one more than a page of all matches, in the direction read."""
    if page.before is not None:
        end = bisect_left(ordinals, int(page.before[-1] or 0))
        return [(ordinal,) for ordinal in reversed(ordinals[max(end - page.count - 1, 0) : end])]
    start = 0 if page.after is None else bisect_right(ordinals, int(page.after[-1] or 0))
    return [(ordinal,) for ordinal in ordinals[start : start + page.count + 1]]
