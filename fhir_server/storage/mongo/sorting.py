"""The stages that put matches in order and cut a page out of them. Pure.

A missing value comes last whichever way one sorts, and MongoDB puts it first: so each value that may be missing has a
flag computed beside it, which is sorted before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fhir_server.search.query import Cursor, SortBy
from fhir_server.storage.mongo.connection import Document
from fhir_server.storage.mongo.filters import EVERYTHING, NOTHING, every, some
from fhir_server.storage.mongo.values import sort_path

_OWN: Final = {"id": "_id", "updated": "updated"}
"""Sort values that every resource has."""


def path(by: SortBy) -> str:
    """Return where the value of a sort is in a document."""
    return _OWN.get(by.kind) or sort_path(by.kind, by.parameter, greatest=by.descending)


def is_plain(sort: Sequence[SortBy]) -> bool:
    """Tell whether no value can be missing: then an index may be in the order."""
    return all(by.kind in _OWN for by in sort)


def flags(sort: Sequence[SortBy]) -> Document:
    """Return the fields that tell what is missing."""
    return {
        f"missing{place}": {"$cond": [{"$lte": [f"${path(by)}", None]}, 1, 0]}
        for place, by in enumerate(sort)
        if by.kind not in _OWN
    }


def order(sort: Sequence[SortBy], *, backward: bool) -> Document:
    """Return the fields to sort by, in their order; by the same one twice is by the first.

    No two resources have the same id: what comes after it says nothing, and would keep its index from being the order.
    """
    found: Document = {}
    for place, by in enumerate(sort):
        if by.kind not in _OWN:
            found[f"missing{place}"] = -1 if backward else 1
        found.setdefault(path(by), -1 if by.descending != backward else 1)
        if by.kind == "id":
            return found
    found["ordinal"] = -1 if backward else 1
    return found


def keyset(sort: Sequence[SortBy], cursor: Cursor | None, *, backward: bool) -> Document:
    """Return the condition that a resource comes after the cursor (before it, if backward)."""
    if cursor is None:
        return EVERYTHING
    ways: list[Document] = []
    same: list[Document] = []
    for by, value in zip(sort, cursor, strict=False):
        ways.append(every([*same, _beyond(by, value, backward=backward)]))
        same.append({path(by): {"$exists": False} if value is None else value})
    ways.append(every([*same, {"ordinal": {"$lt" if backward else "$gt": cursor[-1]}}]))
    return some(ways)


def _beyond(by: SortBy, value: Any, *, backward: bool) -> Document:
    """Return the condition that a sort value comes strictly after (before) another."""
    field = path(by)
    if backward:
        return {field: {"$exists": True} if value is None else {"$gt" if by.descending else "$lt": value}}
    if value is None:
        return NOTHING
    beyond = {field: {"$lt" if by.descending else "$gt": value}}
    return beyond if by.kind in _OWN else some([beyond, {field: {"$exists": False}}])


def cursor_of(document: Document, sort: Sequence[SortBy]) -> Cursor:
    """Return the place of a document in the order."""
    return (*[_value(document, path(by)) for by in sort], document["ordinal"])


def _value(document: Document, where: str) -> Any:
    value: Any = document
    for name in where.split("."):
        value = value.get(name) if value is not None else None
    return value
