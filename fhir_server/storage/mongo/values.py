"""What a resource is found by, as fields of its document; and back.

============  =====================================================================================================
field         values
============  =====================================================================================================
``equal``     ``parameter|value`` for each Equality
``text``      ``parameter|folded␀exact`` for each Text; no text holds ␀ (U+0000)
``span``      ``{of: parameter|key, low, high}`` for each Span
``point``     ``{of: parameter, latitude, longitude}`` for each Point
``sort``      for each parameter that has values, by kind: the least and the greatest
============  =====================================================================================================

MongoDB sorts a missing value, and an empty array, before all others: so sorts read ``sort``, never an array.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from fhir_server.search.query import Equality, IndexEntry, Point, Span, Text
from fhir_server.storage.mongo.connection import Document

NUL: Final = "\x00"
FIELDS: Final = ("equal", "text", "span", "point", "sort")
UNKNOWN: Final = "|"
"""The equality value of a resource whose own were refused: of no parameter, so no other resource has it."""
_DERIVED: Final = frozenset(":+.")
"""Marks of derived codes, by which nobody sorts."""


def index_values(entries: Iterable[IndexEntry]) -> Document:
    """Return the fields for entries, each entry once; a field without values is left out."""
    found: dict[str, list[Any]] = {}
    sort: dict[str, Document] = {}
    for entry in dict.fromkeys(entries):
        match entry:
            case Equality(parameter, value):
                found.setdefault("equal", []).append(f"{parameter}|{value}")
                _widen(sort, "equality", parameter, value, value)
            case Text(parameter, folded, exact):
                found.setdefault("text", []).append(f"{parameter}|{folded}{NUL}{exact}")
                _widen(sort, "text", parameter, folded, folded)
            case Span(parameter, key, low, high):
                found.setdefault("span", []).append({"of": f"{parameter}|{key}", "low": low, "high": high})
                _widen(sort, "span", parameter, low, high)
            case Point(parameter, latitude, longitude):
                place = {"of": parameter, "latitude": latitude, "longitude": longitude}
                found.setdefault("point", []).append(place)
    return {**found, "sort": sort} if sort else dict(found)


def sort_path(kind: str, parameter: str, *, greatest: bool) -> str:
    """Return where a sort value is in a document."""
    return f"sort.{kind}:{parameter}.{'most' if greatest else 'least'}"


def _widen(sort: dict[str, Document], kind: str, parameter: str, low: Any, high: Any) -> None:
    if _DERIVED.intersection(parameter):
        return
    known = sort.setdefault(f"{kind}:{parameter}", {"least": low, "most": high})
    known["least"] = min(known["least"], low)
    known["most"] = max(known["most"], high)


def entries_of(document: Mapping[str, Any]) -> tuple[IndexEntry, ...]:
    """Return the entries that a document's fields were made of."""
    found: list[IndexEntry] = []
    for text in document.get("equal", ()):
        parameter, _, value = text.partition("|")
        if parameter:
            found.append(Equality(parameter, value))
    for text in document.get("text", ()):
        parameter, _, both = text.partition("|")
        folded, _, exact = both.partition(NUL)
        found.append(Text(parameter, folded, exact))
    for span in document.get("span", ()):
        parameter, _, key = span["of"].partition("|")
        found.append(Span(parameter, key, span["low"], span["high"]))
    found += [Point(point["of"], point["latitude"], point["longitude"]) for point in document.get("point", ())]
    return tuple(found)


def values_of(document: Mapping[str, Any], parameter: str) -> tuple[str, ...]:
    """Return the values of the Equality entries of one parameter."""
    prefix = f"{parameter}|"
    return tuple(text[len(prefix) :] for text in document.get("equal", ()) if text.startswith(prefix))
