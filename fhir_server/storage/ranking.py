"""The order of matches, the same on every engine: sort values, then the ordinal; what is missing comes last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cmp_to_key
from typing import Any

from fhir_server.search.query import Cursor, SortBy


def ranking(sort: Sequence[SortBy]) -> Callable[[Cursor], Any]:
    """Return the key that orders cursors, to merge what several types gave."""

    def compare(one: Cursor, other: Cursor) -> int:
        for by, mine, theirs in zip(sort, one, other, strict=False):
            if mine == theirs:
                continue
            if mine is None or theirs is None:
                return 1 if mine is None else -1
            less = mine < theirs  # type: ignore[operator] # the values of one sort are of one type
            return -1 if less != by.descending else 1
        return -1 if one[-1] < other[-1] else int(one[-1] != other[-1])  # type: ignore[operator] # ordinals

    return cmp_to_key(compare)
