"""Where candidates come from: the conjunct whose index range is smallest.

That is *measured*, by counting up to a bound, where there is more than one: SQLite is never left to guess. Chains are
resolved from their far end only as long as nothing nearer is selective.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhir_server.search.query import And, Node, Or, ReferredBy
from fhir_server.storage.reach import conjunction, reaches_out
from fhir_server.storage.sqlite.chains import Chains, usable
from fhir_server.storage.sqlite.checks import Checks
from fhir_server.storage.sqlite.drivers import NONE, Driver, Drivers, unite
from fhir_server.storage.sqlite.reading import Reading
from fhir_server.storage.sqlite.sql import FALSE, TRUE, Sql, bind, build, going_on
from fhir_server.storage.sqlite.walking import OF_TYPE


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


class Chooser:
    """Chooses on one connection, inside the caller's transaction."""

    def __init__(self, reading: Reading, effort: Effort) -> None:
        self._connection = reading.connection
        self._names = reading.names
        self._drivers = Drivers(reading)
        self._effort = effort
        self._chains = Chains(reading, self._matching, effort.staged)

    def forget(self) -> None:
        """Forget what was so in another transaction."""
        self._chains.forget()

    def choose(self, type: int, where: Node, *, thorough: bool = False) -> Choice:
        """Choose the conjunct that candidates come from; chains are resolved only as long as none is selective."""
        conjuncts = [each for node in conjunction(where) for each in usable(self._chains.expanded(node))]
        plain = [place for place, node in enumerate(conjuncts) if not reaches_out(node)]
        chains = [place for place, node in enumerate(conjuncts) if reaches_out(node)]
        chains.sort(key=lambda place: isinstance(conjuncts[place], ReferredBy))
        options = [_Option(driver, place) for place in plain for driver in self._ways(type, conjuncts[place])]
        for place in chains:
            best = self._measured(options, self._effort.bounds[0])
            if best is not None and best.size <= self._effort.few:
                break
            resolved = usable(self._chains.resolved(type, conjuncts[place]), is_resolved=True)
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

    def finds_any(self, type: int, node: Node) -> bool:
        """Tell whether an index range of a node holds anything, or that it is not known."""
        drivers = self._drivers.drivers(self._chains.resolved(type, node), type)
        return not drivers or self._size(drivers[0], 1) > 0

    def _ways(self, type: int, node: Node) -> list[Driver]:
        if isinstance(node, Or):
            parts = []
            for each in node.nodes:
                choice = self.choose(type, each)
                if choice.driver is None:
                    return []
                parts.append(Driver(self.candidates(type, choice), choice.driver.rows))
            return unite(parts)
        return self._drivers.drivers(node, type)

    def _matching(self, type: int, where: Node) -> Sql | None:
        """Select what matches, one more than the bound at most; None if it is surely more."""
        choice = self.choose(type, where)
        if choice.driver is not None and choice.driver.ordered and not choice.rest:
            size = self.sized(choice.driver) if choice.size is None else choice.size
            if size >= self._effort.unselective:
                return None  # one index range, each resource once
        return build(
            "SELECT DISTINCT ordinal FROM ({}) LIMIT {}", self.candidates(type, choice), bind(self._effort.staged + 1)
        )

    def sized(self, driver: Driver) -> int:
        """Count the rows that a driver reads, up to the bounds."""
        size = 0
        for bound in self._effort.bounds:
            size = self._size(driver, bound)
            if size < bound:
                break
        return size

    def candidates(self, type: int, choice: Choice) -> Sql:
        """Select the ordinals of all matches of a choice, perhaps several times each."""
        check = self.check(type, choice.rest)
        if check == FALSE:
            return NONE.sql
        if choice.driver is None:
            return build("SELECT c.ordinal FROM {}{}", Sql(OF_TYPE, (type,)), going_on([check]))
        if check == TRUE:
            return choice.driver.sql
        return build("SELECT c.ordinal FROM ({}) c WHERE {}", choice.driver.sql, check)

    def check(self, type: int, nodes: Sequence[Node]) -> Sql:
        """Write the condition that a candidate ``c`` of a type matches all nodes."""
        return Checks(self._names).check(And(tuple(nodes)), self._names.type_name(type), "c.ordinal")


def _choice(option: _Option, conjuncts: Sequence[Node]) -> Choice:
    rest = (*conjuncts[: option.place], *conjuncts[option.place + 1 :])
    return Choice(option.driver, option.size if option.level else None, rest, tuple(conjuncts))
