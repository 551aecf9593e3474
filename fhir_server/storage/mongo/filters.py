"""A node of a query as a filter on the documents of resources. Pure: what reaches other resources is resolved before.

Every array is asked with ``$elemMatch`` or for equality, so that the bounds of one condition hold of one element.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from bson.regex import Regex

from fhir_server.search.query import (
    And,
    Bounds,
    EndsWith,
    Equal,
    Ids,
    Keys,
    Near,
    Node,
    Not,
    Or,
    Present,
    References,
    ReferredBy,
    Spans,
    StartsWith,
    TextContains,
    TextIs,
    TextStarts,
    Updated,
)
from fhir_server.storage.mongo.connection import Document
from fhir_server.storage.mongo.values import NUL
from fhir_server.storage.prefixes import successor

EVERYTHING: Final[Document] = {}
NOTHING: Final[Document] = {"_id": {"$in": []}}
MILLISECOND: Final = 1000


def filter_of(node: Node) -> Document:  # noqa: PLR0911, PLR0912 a line for each kind of node
    """Return the filter that is true of the same resources. Raises ``TypeError`` for what must be resolved first."""
    match node:
        case And(nodes):
            return every(filter_of(each) for each in nodes)
        case Or(nodes):
            return some(filter_of(each) for each in nodes)
        case Not(inner):
            return neither(filter_of(inner))
        case Equal(_, References()) | Spans(keys=Keys()) | ReferredBy() | Near():
            raise TypeError(f"{type(node).__name__} is resolved before it is compiled")
        case Equal(parameter, tuple() as values):
            return among("equal", [f"{parameter}|{value}" for value in values])
        case StartsWith(parameter, prefixes):
            return some(_starts("equal", f"{parameter}|{prefix}") for prefix in prefixes)
        case EndsWith(parameter, suffixes):
            return matching("equal", [rf"^{re.escape(parameter)}\|.*{re.escape(suffix)}\z" for suffix in suffixes])
        case TextStarts(parameter, folded):
            return some(_starts("text", f"{parameter}|{text}") for text in folded)
        case TextIs(parameter, pairs):
            return among("text", [f"{parameter}|{folded}{NUL}{exact}" for folded, exact in pairs])
        case TextContains(parameter, folded):
            return matching("text", [rf"^{re.escape(parameter)}\|[^\x00]*{re.escape(text)}" for text in folded])
        case Spans():
            return _spans(node)
        case Present(parameter):
            return _present(parameter)
        case Ids(ids):
            return among("_id", ids)
        case Updated(any_of):
            return some(_instants(bounds) for bounds in any_of)
    raise TypeError(f"not a node of a query: {node!r}")


# --- logic -----------------------------------------------------------------------------------------------------------


def every(filters: Iterable[Document]) -> Document:
    parts = [part for part in filters if part != EVERYTHING]
    if NOTHING in parts:
        return NOTHING
    return {"$and": parts} if len(parts) > 1 else parts[0] if parts else EVERYTHING


def some(filters: Iterable[Document]) -> Document:
    parts = [part for part in filters if part != NOTHING]
    if EVERYTHING in parts:
        return EVERYTHING
    return {"$or": parts} if len(parts) > 1 else parts[0] if parts else NOTHING


def neither(one: Document) -> Document:
    return NOTHING if one == EVERYTHING else EVERYTHING if one == NOTHING else {"$nor": [one]}


# --- leaves ----------------------------------------------------------------------------------------------------------


def among(field: str, values: Sequence[Any]) -> Document:
    """The field, or an element of it, is one of the values."""
    if not values:
        return NOTHING
    return {field: values[0] if len(values) == 1 else {"$in": list(values)}}


def matching(field: str, patterns: Sequence[str]) -> Document:
    """An element of the field matches one of the patterns; the dot is any character."""
    return among(field, [Regex(pattern, "s") for pattern in patterns])


def _starts(field: str, prefix: str) -> Document:
    return {field: {"$elemMatch": {"$gte": prefix, "$lt": successor(prefix)}}}


def _spans(node: Spans) -> Document:
    if node.keys is None:
        of: Any = {"$gte": f"{node.parameter}|", "$lt": successor(f"{node.parameter}|")}
    else:
        keys = [f"{node.parameter}|{key}" for key in node.keys] if isinstance(node.keys, tuple) else []
        if not keys:
            return NOTHING
        of = keys[0] if len(keys) == 1 else {"$in": keys}
    return some({"span": {"$elemMatch": {"of": of, **_bounds(bounds, node.width)}}} for bounds in node.any_of)


def _bounds(bounds: Bounds, width: int | None) -> Document:
    """Return the bounds of one span: with its width known, its beginning is bounded on both sides."""
    low, high = {}, {}
    lows = [bounds.low_from]
    if bounds.high_above is not None:
        high["$gt"] = bounds.high_above
        if width is not None:
            lows.append(bounds.high_above - width)
    known = [value for value in lows if value is not None]
    if known:
        low["$gte"] = max(known)
    if bounds.low_below is not None:
        low["$lt"] = bounds.low_below
    if bounds.high_to is not None:
        high["$lte"] = bounds.high_to
        if bounds.low_below is None or bounds.high_to < bounds.low_below:  # a span is never empty
            low["$lt"] = bounds.high_to
    return {**({"low": low} if low else {}), **({"high": high} if high else {})}


def in_band(parameter: str, low: float, high: float) -> Document:
    """A place of the parameter lies between two latitudes."""
    return {"point": {"$elemMatch": {"of": parameter, "latitude": {"$gte": low, "$lte": high}}}}


def _present(parameter: str) -> Document:
    prefix = f"{parameter}|"
    of = {"$elemMatch": {"of": {"$gte": prefix, "$lt": successor(prefix)}}}
    return some([_starts("equal", prefix), _starts("text", prefix), {"span": of}, {"point.of": parameter}])


def _instants(bounds: Bounds) -> Document:
    """The span of ``meta.lastUpdated`` is the millisecond that begins at its instant."""
    froms = [bounds.low_from] if bounds.low_from is not None else []
    limits: Document = {}
    if froms:
        limits["$gte"] = froms[0]
    if bounds.low_below is not None:
        limits["$lt"] = bounds.low_below
    if bounds.high_above is not None:
        limits["$gt"] = bounds.high_above - MILLISECOND
    if bounds.high_to is not None:
        limits["$lte"] = bounds.high_to - MILLISECOND
    return {"updated": limits} if limits else EVERYTHING
