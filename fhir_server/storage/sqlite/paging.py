"""One page of the matches of one type: found by a walk along an index, or by collecting all that match.

A walk reads an index in the order wanted and checks each resource on the way, until the page is full: for what is not
selective. Where little matches, all of it is found, sorted and cut.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.search.query import Cursor, Page, SortBy
from fhir_server.storage.ranking import ranking
from fhir_server.storage.sqlite.choosing import Choice, Chooser, Effort
from fhir_server.storage.sqlite.connection import Impatient
from fhir_server.storage.sqlite.reading import Reading
from fhir_server.storage.sqlite.sorting import keyset, order_by, sort_value
from fhir_server.storage.sqlite.sql import FALSE, TRUE, Sql, bind, build
from fhir_server.storage.sqlite.walking import OF_TYPE, Segment, Ties, Walk, index_of, walk_ordinals


@dataclass(frozen=True, slots=True)
class Part:
    """What is wanted of one type."""

    type: int
    sort: tuple[SortBy, ...]
    page: Page

    @property
    def backward(self) -> bool:
        return self.page.before is not None

    @property
    def cursor(self) -> Cursor | None:
        """Where the page begins, in the direction read."""
        return self.page.before if self.backward else self.page.after

    @property
    def count(self) -> int:
        """One more than the page, to tell whether there are more."""
        return self.page.count + 1


class Paging:
    """Reads pages on one connection, inside the caller's transaction."""

    def __init__(self, reading: Reading, chooser: Chooser, effort: Effort) -> None:
        self._connection = reading.connection
        self._meter = reading.meter
        self._names = reading.names
        self._chooser = chooser
        self._effort = effort

    # --- walks -------------------------------------------------------------------------------------------------------

    def can_walk(self, part: Part) -> bool:
        """Tell whether an index is in the order wanted."""
        return not part.sort or self._is_indexed(part.type, part.sort[0])

    def walk(self, part: Part, choice: Choice) -> list[Cursor]:
        """Read an index in the order wanted, and check each resource on the way, until the page is full."""
        return self._walk_values(part, choice) if part.sort else self._walk_ordinals(part, choice)

    def _walk_ordinals(self, part: Part, choice: Choice) -> list[Cursor]:
        """Read the widest filter's index, or all of the type, in the order of creation."""
        if choice.driver is not None and choice.driver.ordered:
            source, nodes = build("({}) c WHERE c.ordinal > 0", choice.driver.sql), choice.rest
        else:
            source, nodes = Sql(OF_TYPE, (part.type,)), choice.whole
        check = self._chooser.check(part.type, nodes)
        if check == FALSE:
            return []
        statement = walk_ordinals(source, check, part.cursor, part.count, backward=part.backward)
        return self._connection.execute(*statement).fetchall()

    def _walk_values(self, part: Part, choice: Choice) -> list[Cursor]:
        """Read the index of the first sort key."""
        check = self._chooser.check(part.type, choice.whole)
        if check == FALSE:
            return []
        walk = Walk.along(self._names, part.type, part.sort, choice.whole, check, backward=part.backward)
        return [] if walk is None else self._read(walk, part.cursor, part.count)

    def _read(self, walk: Walk, cursor: Cursor | None, count: int) -> list[Cursor]:
        """Read segment by segment until there are enough."""
        found: list[Cursor] = []
        for segment in walk.segments(cursor):
            found += self._segment(walk, segment, count - len(found))
            if len(found) >= count:
                break
        return found

    def _segment(self, walk: Walk, segment: Segment, count: int) -> list[Cursor]:
        if segment.ties is not None:
            return self._ties(walk, segment, segment.ties, count)
        rows = self._limited(segment.select, count)
        if not segment.loose or not rows:
            return rows
        last = rows[-1][0]
        is_cut = len(rows) == count
        whole = [row for row in rows if row[0] != last] if is_cut else rows
        whole.sort(key=ranking(walk.sort), reverse=walk.backward)
        return whole + self._segment(walk, walk.tied(Ties(last)), count - len(whole)) if is_cut else whole

    def _ties(self, walk: Walk, segment: Segment, ties: Ties, count: int) -> list[Cursor]:
        """Read what shares a value: sorted where it is not much, else by a walk along the next key's index."""
        if len(walk.sort) > 1 and self._is_indexed(walk.type, walk.sort[1]) and self._are_many(walk, ties):
            inside = walk.inside(ties)
            cursor = None if ties.cursor is None else ties.cursor[1:]
            if inside is not None:
                try:
                    with self._meter.patience(self._effort.patience):
                        return [(ties.value, *row) for row in self._read(inside, cursor, count)]
                except Impatient:  # they stand far apart there
                    pass
        return self._limited(segment.select, count)

    def _are_many(self, walk: Walk, ties: Ties) -> bool:
        """Tell whether more share a value than are sorted soon; of what has none it is not known."""
        if ties.value is None:
            return True
        bound = self._effort.unselective
        statement = build("SELECT count(*) FROM ({} LIMIT {})", walk.same(ties.value), bind(bound))
        return int(self._connection.execute(*statement).fetchone()[0]) >= bound

    def _limited(self, select: Sql, count: int) -> list[Cursor]:
        return self._connection.execute(*build("{} LIMIT {}", select, bind(count))).fetchall()

    def _is_indexed(self, type: int, by: SortBy) -> bool:
        """Tell whether an index is in the order of a sort key: of quantities none is, since their spans have keys."""
        if by.kind != "span":
            return index_of(by, self._names, type) is not None
        field = self._names.field(type, by.parameter, "span")
        select = "SELECT 1 FROM span INDEXED BY span_value WHERE field = ? AND key > '' LIMIT 1"
        return field is None or self._connection.execute(select, (field,)).fetchone() is None

    # --- all that matches --------------------------------------------------------------------------------------------

    def collect(self, part: Part, choice: Choice) -> list[Cursor]:
        """Find every match, sort, cut."""
        values = [sort_value(by, self._names, part.type, "c.ordinal") for by in part.sort]
        columns = [f"k{index:d}" for index in range(len(values))]
        named = "".join(f"{{}} AS {column}, " for column in columns)
        rows = build(
            f"SELECT {named}c.ordinal AS ordinal FROM (SELECT DISTINCT ordinal FROM ({{}})) c",  # noqa: S608
            *values,
            self._chooser.candidates(part.type, choice),
        )
        columns.append("ordinal")
        limits = TRUE if part.cursor is None else keyset(part.sort, columns, part.cursor, backward=part.backward)
        order = order_by(part.sort, columns, backward=part.backward)
        statement = build(
            f"SELECT {', '.join(columns)} FROM ({{}}) WHERE {{}} ORDER BY {order} LIMIT {{}}",  # noqa: S608
            rows,
            limits,
            bind(part.count),
        )
        return self._connection.execute(*statement).fetchall()
