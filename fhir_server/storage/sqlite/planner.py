"""From a query to statements: where candidates come from, what is checked of each, in which order they are read.

Candidates come from the conjunct whose index range is smallest. That is *measured*, by counting up to a bound, where
there is more than one: SQLite is never left to guess. A chain or ``_has`` is resolved from its selective end into plain
values where that end is small, else checked from each candidate on. Where no conjunct is selective, an index is walked
in the order wanted.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from fhir_server.model.reference import Key
from fhir_server.search.query import (
    RECORD_SEPARATOR,
    And,
    Cursor,
    Equal,
    Ids,
    Keys,
    Node,
    Or,
    Page,
    Query,
    References,
    ReferredBy,
    SortBy,
    Spans,
)
from fhir_server.storage.protocol import Match, Matches
from fhir_server.storage.ranking import ranking
from fhir_server.storage.reach import conjunction, reaches_out
from fhir_server.storage.sqlite.checks import Checks
from fhir_server.storage.sqlite.connection import Impatient
from fhir_server.storage.sqlite.counting import Counts, count_all
from fhir_server.storage.sqlite.drivers import NONE, Driver, Drivers, unite
from fhir_server.storage.sqlite.pruning import Pruning, is_everything
from fhir_server.storage.sqlite.reading import Reading, make
from fhir_server.storage.sqlite.sorting import keyset, order_by, sort_value
from fhir_server.storage.sqlite.sql import FALSE, TRUE, Sql, bind, build, going_on
from fhir_server.storage.sqlite.walking import OF_TYPE, Index, Walk, index_of, narrowed, walk_ordinals

Row: TypeAlias = tuple[Any, ...]
"""A cursor as it was read: sort values, and last the ordinal."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What planning may cost."""

    few: int = 100
    """So few candidates that the rest is checked of each, and no chain is resolved for them."""
    staged: int = 10_000
    """The far end of a chain is resolved into at most so many values."""
    bounds: tuple[int, int] = (1_000, 8_000)
    """Index ranges are counted up to the first; up to the second if none was smaller."""
    thorough: int = 1_000_000
    """They are counted up to here once a walk has shown that the filters together are selective."""
    patience: int = 60
    """How long a walk is tried, in looks at the meter: some 50 ms."""

    @property
    def unselective(self) -> int:
        return self.bounds[-1]


EFFORT = Effort()


@dataclass(frozen=True, slots=True)
class Choice:
    """Where candidates come from (None: all of the type), how many rows that reads, and what remains to be checked."""

    driver: Driver | None
    size: int | None
    """None: not measured, there is no other way."""
    rest: tuple[Node, ...]
    whole: tuple[Node, ...]
    """All conjuncts, chains resolved where they were."""


@dataclass(slots=True)
class _Option:
    """A driver of one conjunct, the rows it reads, and how far they were counted (``size >= level``: or more; level 0:
    not at all)."""

    driver: Driver
    place: int
    size: int = 0
    level: int = 0


class _Plan(NamedTuple):
    """What is asked of one type, and how it is answered."""

    type: int
    where: Node
    choice: Choice


class Planner:
    """Plans and runs queries on one connection, inside the caller's transaction.

    It keeps what it has learnt of a query, for the count that follows a search.
    """

    def __init__(self, reading: Reading, counts: Counts | None = None) -> None:
        """``counts`` are those that a snapshot knows; a writer's state has no change number yet, and knows none."""
        self._reading = reading
        self._counts = counts
        self._number = 0
        self._connection = reading.connection
        self._names = reading.names
        self._drivers = Drivers(reading)
        self._effort = EFFORT
        self.ordinals: dict[Key, int] = {}
        """Those of the resources found."""
        self._plans: dict[tuple[str, Node], _Plan] = {}
        self._totals: dict[tuple[str, Node], int] = {}
        self._ends: dict[References, tuple[str, ...] | None] = {}

    def begin(self, number: int) -> None:
        """Forget what was so in another transaction; the head that this one sees has the change number."""
        self._number = number
        self._plans.clear()
        self._totals.clear()
        self._ends.clear()
        self.ordinals.clear()

    # --- what is asked -----------------------------------------------------------------------------------------------

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
        candidates = self._candidates(plan.type, plan.choice)
        statement = build("SELECT count(DISTINCT ordinal) FROM ({})", candidates)
        return int(self._connection.execute(*statement).fetchone()[0])

    def _plan(self, name: str, where: Node) -> _Plan | None:
        """Return how a query is answered for one type, or None if no resource of it was ever stored."""
        plan = self._plans.get((name, where))
        number = self._names.type(name)
        if plan is None and number is not None:
            kept = Pruning(self._names, self._finds_any).pruned(where, number)
            plan = self._plans[name, where] = _Plan(number, kept, self.choose(number, kept))
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
            size = self._sized(choice.driver) if few is None else len(few)
        index = index_of(query.sort[0], self._names, number) if query.sort else None
        if (size is not None and size < self._effort.unselective) or (
            query.sort and (index is None or self._has_keys(number, query.sort[0]))
        ):
            return self._collect(number, choice, query, page)
        if choice.driver is None:
            return self._walk(number, choice, query, page, index)
        try:
            with self._reading.meter.patience(self._effort.patience):
                return self._walk(number, choice, query, page, index)
        except Impatient:  # each filter alone finds much, all together little
            choice = self.choose(number, where, thorough=True)
            return self._collect(number, choice, query, page)

    def _few(self, driver: Driver) -> list[int] | None:
        """Return the ordinals of all that a driver finds, in order, or None if they are not few."""
        bound = self._effort.bounds[0]
        rows = self._connection.execute(*build("{} LIMIT {}", driver.sql, bind(bound))).fetchall()
        return sorted({ordinal for (ordinal,) in rows}) if len(rows) < bound else None

    def _sized(self, driver: Driver) -> int:
        size = 0
        for bound in self._effort.bounds:
            size = self._size(driver, bound)
            if size < bound:
                break
        return size

    def _walk(self, type: int, choice: Choice, query: Query, page: Page, index: Index | None) -> list[Cursor]:
        """Read an index in the order wanted, and check each resource on the way, until the page is full."""
        if index is None:
            return self._walk_ordinals(type, choice, page)
        return self._walk_values(type, choice, query, page, index)

    def _walk_ordinals(self, type: int, choice: Choice, page: Page) -> list[Cursor]:
        """Read the widest filter's index, or all of the type, in the order of creation."""
        cursor, backward = _direction(page)
        if choice.driver is not None and choice.driver.ordered:
            source, nodes = build("({}) c WHERE c.ordinal > 0", choice.driver.sql), choice.rest
        else:
            source, nodes = Sql(OF_TYPE, (type,)), choice.whole
        check = self._check(type, nodes)
        if check == FALSE:
            return []
        statement = walk_ordinals(source, check, cursor, page.count + 1, backward=backward)
        return self._connection.execute(*statement).fetchall()

    def _walk_values(self, type: int, choice: Choice, query: Query, page: Page, index: Index) -> list[Cursor]:
        """Read the index of the first sort key, segment by segment."""
        cursor, backward = _direction(page)
        check = self._check(type, choice.whole)
        if check == FALSE:
            return []
        index = narrowed(index, query.sort[0], choice.whole, self._names)
        walk = Walk(self._names, type, query.sort, index, check, backward)
        found: list[Cursor] = []
        for segment in walk.segments(cursor):
            wanted = page.count + 1 - len(found)
            rows = self._limited(segment.select, wanted)
            if segment.loose and rows:
                last = rows[-1][0]
                whole = [row for row in rows if row[0] != last] if len(rows) == wanted else rows
                whole.sort(key=ranking(query.sort), reverse=backward)
                rows = whole if len(rows) < wanted else whole + self._limited(walk.tied(last), wanted - len(whole))
            found += rows
            if len(found) > page.count:
                break
        return found

    def _limited(self, select: Sql, count: int) -> list[Cursor]:
        return self._connection.execute(*build("{} LIMIT {}", select, bind(count))).fetchall()

    def _has_keys(self, type: int, by: SortBy) -> bool:
        """Tell whether spans have keys, as quantities do: then no index is in the order of their values alone."""
        field = self._names.field(type, by.parameter, "span") if by.kind == "span" else None
        if field is None:
            return False
        select = "SELECT 1 FROM span INDEXED BY span_value WHERE field = ? AND key > '' LIMIT 1"
        return self._connection.execute(select, (field,)).fetchone() is not None

    def _check(self, type: int, nodes: Sequence[Node]) -> Sql:
        return Checks(self._names).check(And(tuple(nodes)), self._names.type_name(type), "c.ordinal")

    def _collect(self, type: int, choice: Choice, query: Query, page: Page) -> list[Cursor]:
        """Find every match, sort, cut."""
        cursor, backward = _direction(page)
        values = [sort_value(by, self._names, type, "c.ordinal") for by in query.sort]
        columns = [f"k{index:d}" for index in range(len(values))]
        named = "".join(f"{{}} AS {column}, " for column in columns)
        rows = build(
            f"SELECT {named}c.ordinal AS ordinal FROM (SELECT DISTINCT ordinal FROM ({{}})) c",  # noqa: S608
            *values,
            self._candidates(type, choice),
        )
        columns.append("ordinal")
        limits = TRUE if cursor is None else keyset(query.sort, columns, cursor, backward=backward)
        order = order_by(query.sort, columns, backward=backward)
        statement = build(
            f"SELECT {', '.join(columns)} FROM ({{}}) WHERE {{}} ORDER BY {order} LIMIT {{}}",  # noqa: S608
            rows,
            limits,
            bind(page.count + 1),
        )
        return self._connection.execute(*statement).fetchall()

    def _candidates(self, type: int, choice: Choice) -> Sql:
        """Select the ordinals of all matches of a choice, perhaps several times each."""
        check = self._check(type, choice.rest)
        if check == FALSE:
            return NONE.sql
        if choice.driver is None:
            return build("SELECT c.ordinal FROM {}{}", Sql(OF_TYPE, (type,)), going_on([check]))
        if check == TRUE:
            return choice.driver.sql
        return build("SELECT c.ordinal FROM ({}) c WHERE {}", choice.driver.sql, check)

    # --- where candidates come from ----------------------------------------------------------------------------------

    def choose(self, type: int, where: Node, *, thorough: bool = False) -> Choice:
        """Choose the conjunct that candidates come from; chains are resolved only as long as none is selective."""
        conjuncts = [each for node in conjunction(where) for each in self._usable(type, self._expanded(node))]
        plain = [place for place, node in enumerate(conjuncts) if not reaches_out(node)]
        chains = [place for place, node in enumerate(conjuncts) if reaches_out(node)]
        chains.sort(key=lambda place: isinstance(conjuncts[place], ReferredBy))
        options = [_Option(driver, place) for place in plain for driver in self._ways(type, conjuncts[place])]
        for place in chains:
            best = self._measured(options, self._effort.bounds[0])
            if best is not None and best.size <= self._effort.few:
                break
            resolved = self._usable(type, self._resolved(type, conjuncts[place]), is_resolved=True)
            if len(resolved) > 1:
                others = (*conjuncts[:place], *resolved, *conjuncts[place + 1 :])
                return self.choose(type, And(others), thorough=thorough)
            conjuncts[place] = resolved[0]
            options += [_Option(driver, place) for driver in self._ways(type, conjuncts[place])]
        if len(options) == 1:
            return _choice(options[0], conjuncts)
        best = self._measured(options, self._effort.bounds[0])
        if best is None:
            return Choice(None, self._effort.unselective, tuple(conjuncts), tuple(conjuncts))
        for bound in (*self._effort.bounds[1:], *([self._effort.thorough] if thorough else [])):
            if best.size >= best.level:
                best = self._measured(options, bound) or best
        return _choice(best, conjuncts)

    def _measured(self, options: Sequence[_Option], bound: int) -> _Option | None:
        """Return the option that reads fewest rows, counting each up to the bound, or up to the least found so far."""
        least = min((option.size for option in options if option.level == bound), default=bound)
        for option in options:
            if option.level < bound:
                size = self._size(option.driver, least)
                option.size = size if size < least else bound
                option.level = bound
                least = min(least, size)
        return min(options, key=lambda option: (option.size, not option.driver.ordered), default=None)

    def _size(self, driver: Driver, bound: int) -> int:
        """Count the rows that a driver reads, up to a bound."""
        if driver is NONE:
            return 0
        statement = build("SELECT count(*) FROM ({} LIMIT {})", driver.rows, bind(bound))
        return int(self._connection.execute(*statement).fetchone()[0])

    def _finds_any(self, type: int, node: Node) -> bool:
        """Tell whether an index range of a node holds anything, or that it is not known."""
        drivers = self._drivers.drivers(self._resolved(type, node), type)
        return not drivers or self._size(drivers[0], 1) > 0

    def _ways(self, type: int, node: Node) -> list[Driver]:
        if isinstance(node, Or):
            parts = []
            for each in node.nodes:
                choice = self.choose(type, each)
                if choice.driver is None:
                    return []
                parts.append(Driver(self._candidates(type, choice), choice.driver.rows))
            return unite(parts)
        return self._drivers.drivers(node, type)

    # --- chains ------------------------------------------------------------------------------------------------------

    def _expanded(self, node: Node) -> Node:
        """Write the keys of a compound out, if its parts are plain values and their product is not too large."""
        if not isinstance(node, Spans) or not isinstance(node.keys, Keys):
            return node
        size = 1
        choices: list[tuple[str, ...]] = []
        for choice in node.keys.parts:
            if isinstance(choice, References):
                return node
            choices.append(choice)
            size *= len(choice)
        if size > self._effort.staged:
            return node
        return replace(node, keys=tuple(RECORD_SEPARATOR.join(parts) for parts in product(*choices)))

    def _usable(self, type: int, node: Node, *, is_resolved: bool = False) -> Sequence[Node]:
        """Return a node, or what it stands for: a compound whose keys are too many to be written out is of no use."""
        if not isinstance(node, Spans) or (reaches_out(node) and not is_resolved):
            return (node,)
        return node.apart() or (node,)

    def _resolved(self, type: int, node: Node) -> Node:
        """Replace what a node says of other resources by what they are, where they are not too many."""
        if isinstance(node, Equal) and isinstance(node.values, References):
            texts = self._texts(node.values)
            return node if texts is None else Equal(node.parameter, texts)
        if isinstance(node, Spans) and isinstance(node.keys, Keys):
            parts: list[tuple[str, ...] | References] = []
            for part in node.keys.parts:
                texts = self._texts(part) if isinstance(part, References) else part
                parts.append(part if texts is None else texts)
            return self._expanded(replace(node, keys=Keys(tuple(parts))))
        if isinstance(node, ReferredBy):
            return self._referred(type, node)
        return node

    def _texts(self, references: References) -> tuple[str, ...] | None:
        """Return the texts of references to what matches, or None if they are too many."""
        if references not in self._ends:
            self._ends[references] = self._found_texts(references)
        return self._ends[references]

    def _found_texts(self, references: References) -> tuple[str, ...] | None:
        number = self._names.type(references.type)
        if number is None:
            return ()
        found = self._matching(number, references.where)
        if found is None:
            return None
        rows = self._connection.execute(
            *build(
                "SELECT r.id FROM ({}) c CROSS JOIN resource r ON r.ordinal = c.ordinal LIMIT {}",
                found,
                bind(self._effort.staged + 1),
            )
        ).fetchall()
        return None if len(rows) > self._effort.staged else tuple(f"{references.type}/{row[0]}" for row in rows)

    def _matching(self, type: int, where: Node) -> Sql | None:
        """Select what matches, one more than the bound at most; None if it is surely more."""
        choice = self.choose(type, where)
        if choice.driver is not None and choice.driver.ordered and not choice.rest:
            size = self._sized(choice.driver) if choice.size is None else choice.size
            if size >= self._effort.unselective:
                return None  # one index range, each resource once
        return build(
            "SELECT DISTINCT ordinal FROM ({}) LIMIT {}", self._candidates(type, choice), bind(self._effort.staged + 1)
        )

    def _referred(self, type: int, node: ReferredBy) -> Node:
        other = self._names.type(node.type)
        field = None if other is None else self._names.field(other, node.parameter, "equality")
        if other is None or field is None:
            return Ids(())
        found = self._matching(other, node.where)
        if found is None:
            return node
        rows = self._connection.execute(
            *build(
                "SELECT c.ordinal, e.value FROM ({}) c LEFT JOIN equality e ON e.ordinal = c.ordinal AND e.field = {}",
                found,
                bind(field),
            )
        ).fetchall()
        if len({ordinal for ordinal, _ in rows}) > self._effort.staged:
            return node
        prefix = f"{self._names.type_name(type)}/"
        ids = {text[len(prefix) :] for _, text in rows if text is not None and text.startswith(prefix)}
        return Ids(tuple(sorted(ids)))

    def matching(self, name: str, where: Node, limit: int) -> list[int]:
        """Return the ordinals of the first matches of a type, in order of creation."""
        cursors = self._cursors(name, Query((name,), where), Page(limit))
        return [int(cursor[-1]) for cursor in cursors[:limit]]  # type: ignore[arg-type] # ordinals


def _choice(option: _Option, conjuncts: Sequence[Node]) -> Choice:
    rest = (*conjuncts[: option.place], *conjuncts[option.place + 1 :])
    return Choice(option.driver, option.size if option.level else None, rest, tuple(conjuncts))


def _cut(ordinals: list[int], page: Page) -> list[Cursor]:
    """Return up to one more than a page of all matches, in the direction read."""
    if page.before is not None:
        end = bisect_left(ordinals, int(page.before[-1] or 0))
        return [(ordinal,) for ordinal in reversed(ordinals[max(end - page.count - 1, 0) : end])]
    start = 0 if page.after is None else bisect_right(ordinals, int(page.after[-1] or 0))
    return [(ordinal,) for ordinal in ordinals[start : start + page.count + 1]]


def _direction(page: Page) -> tuple[Cursor | None, bool]:
    """Return where a page begins, and whether it is read backward."""
    return (page.after, False) if page.before is None else (page.before, True)
