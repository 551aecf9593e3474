"""From one element's value to index entries: one function for each type of parameter, a table of FHIR types in each.

No function raises on data: what cannot be searched gives no entry, and the caller marks the parameter as present.
Spec: https://hl7.org/fhir/R4/search.html#ptypes, https://hl7.org/fhir/R4/search.html#xpath
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import Any, Final

from fhir_server.definitions.aliases import Aliases
from fhir_server.model.primitives import interval
from fhir_server.model.reference import local
from fhir_server.model.text import fold
from fhir_server.search.query import HIGHEST, LOWEST, Equality, IndexEntry, Point, Span, Text
from fhir_server.search.query import UNIT_SEPARATOR as US
from fhir_server.search.values import LARGEST

Entries = list[IndexEntry]
Extract = Callable[[str, Any, Entries], None]
"""(code of the parameter, JSON value, entries to append to)."""

_ISO_4217: Final = "urn:iso:std:iso:4217"


# --- token -----------------------------------------------------------------------------------------------------------


def numbers_of(identifier: Any, aliases: Aliases) -> Iterator[str]:
    """Yield what an Identifier is found as; it may be several forms of one number."""
    system, value = aliases.system(identifier.get("system") or ""), identifier.get("value") or ""
    if value and system:
        for other, text in dict.fromkeys(((system, value), *aliases.numbers(system, value))):
            yield f"{text}{US}{other}"
    elif value or system:
        yield f"{value}{US}{system}"


def _boolean(code: str, value: Any, entries: Entries) -> None:
    entries.append(Equality(code, f"{'true' if value else 'false'}{US}"))


def _plain_token(code: str, value: Any, entries: Entries) -> None:
    if value != "":
        entries.append(Equality(code, f"{value}{US}"))


def bound_code(systems: Mapping[str, frozenset[str]]) -> Extract:
    """Return the extractor of a code whose value set, listed in ``systems``, implies the code system."""
    values = {code: [f"{code}{US}{system}" for system in sorted(found)] for code, found in systems.items()}

    def extract(code: str, value: Any, entries: Entries) -> None:
        known = values.get(value)
        if known is None:
            _plain_token(code, value, entries)
        else:
            for one in known:
                entries.append(Equality(code, one))

    return extract


def token_extractors(aliases: Aliases) -> Mapping[str, Extract]:
    """Return the extractors of tokens, which are compared by ``aliases``."""
    compared, contact = aliases.system, aliases.contact

    def coding(code: str, value: Any, entries: Entries) -> None:
        system, coded, display = value.get("system") or "", value.get("code") or "", value.get("display")
        if coded or system:
            entries.append(Equality(code, f"{coded}{US}{compared(system)}"))
        if display:
            entries.append(Text(f"{code}:text", fold(display), display))

    def codeable_concept(code: str, value: Any, entries: Entries) -> None:
        for one in value.get("coding") or ():
            coding(code, one, entries)
        text = value.get("text")
        if text:
            entries.append(Text(f"{code}:text", fold(text), text))

    def identifier(code: str, value: Any, entries: Entries) -> None:
        entries.extend(Equality(code, number) for number in numbers_of(value, aliases))
        kind, text = value.get("type"), value.get("value")
        if not kind:
            return
        if kind.get("text"):
            entries.append(Text(f"{code}:text", fold(kind["text"]), kind["text"]))
        for one in kind.get("coding") or ():
            if text and one.get("system") and one.get("code"):
                entries.append(Equality(f"{code}:of-type", f"{compared(one['system'])}{US}{one['code']}{US}{text}"))

    def contact_point(code: str, value: Any, entries: Entries) -> None:
        text = value.get("value")
        if text:
            text = contact(text)
            entries.append(Equality(code, f"{text}{US}"))
            if value.get("system"):
                entries.append(Equality(code, f"{text}{US}{value['system']}"))

    return {
        "Coding": coding,
        "CodeableConcept": codeable_concept,
        "Identifier": identifier,
        "ContactPoint": contact_point,
        "boolean": _boolean,
        **dict.fromkeys(
            (
                *("code", "id", "string", "markdown", "uri", "url", "canonical", "oid", "uuid"),
                *("integer", "positiveInt", "unsignedInt"),
            ),
            _plain_token,
        ),
    }


# --- string ----------------------------------------------------------------------------------------------------------

_NAME_PARTS: Final = ("family", "given", "prefix", "suffix", "text")
_ADDRESS_PARTS: Final = ("line", "city", "district", "state", "postalCode", "country", "text")


def _text(code: str, value: Any, entries: Entries) -> None:
    if value.__class__ is str and value:
        entries.append(Text(code, fold(value), value))


def _parts(*names: str) -> Extract:
    def extract(code: str, value: Any, entries: Entries) -> None:
        for name in names:
            part = value.get(name)
            if part.__class__ is list:
                for one in part:
                    _text(code, one, entries)
            else:
                _text(code, part, entries)

    return extract


def _texts_of_concept(code: str, value: Any, entries: Entries) -> None:
    _text(code, value.get("text"), entries)
    for coding in value.get("coding") or ():
        _text(code, coding.get("code"), entries)
        _text(code, coding.get("display"), entries)


STRING: Final[Mapping[str, Extract]] = {
    **dict.fromkeys(("string", "markdown", "code", "id", "uri", "url", "canonical", "oid", "uuid"), _text),
    "HumanName": _parts(*_NAME_PARTS),
    "Address": _parts(*_ADDRESS_PARTS),
    "Coding": _parts("code", "display"),
    "CodeableConcept": _texts_of_concept,
    "Identifier": _parts("value"),
    "ContactPoint": _parts("value"),
    "Annotation": _parts("text"),
}


# --- uri -------------------------------------------------------------------------------------------------------------


def _uri(code: str, value: Any, entries: Entries) -> None:
    if value.__class__ is str and value:
        entries.append(Equality(code, value))


def _canonical(code: str, value: Any, entries: Entries) -> None:
    _uri(code, value, entries)
    if value.__class__ is str:
        url, bar, _ = value.partition("|")
        if bar and url:
            entries.append(Equality(code, url))


URI: Final[Mapping[str, Extract]] = {
    **dict.fromkeys(("uri", "url", "oid", "uuid", "string", "code", "id"), _uri),
    "canonical": _canonical,
}


# --- reference -------------------------------------------------------------------------------------------------------


def reference_extractors(bases: Sequence[str], aliases: Aliases) -> Mapping[str, Extract]:
    """Return the extractors of references; under one of ``bases`` a literal reference is ours."""
    roots = tuple(bases)

    def literal(code: str, text: Any, entries: Entries) -> None:
        if text.__class__ is not str or not text or text[0] == "#":
            return
        ours = local(text, roots)
        if ours is None:
            entries.append(Equality(code, text))
            plain = text.partition("/_history/")[0].partition("|")[0]
            if plain and plain != text:
                entries.append(Equality(code, plain))
            return
        entries.append(Equality(code, f"{ours.key.type}/{ours.key.id}"))
        if ours.version is not None:
            entries.append(Equality(code, f"{ours.key.type}/{ours.key.id}/_history/{ours.version}"))

    def reference(code: str, value: Any, entries: Entries) -> None:
        literal(code, value.get("reference"), entries)
        identifier = value.get("identifier")
        if identifier:
            entries.extend(Equality(f"{code}:identifier", number) for number in numbers_of(identifier, aliases))

    return {"Reference": reference, **dict.fromkeys(("canonical", "uri", "url", "oid", "uuid", "string"), literal)}


# --- date ------------------------------------------------------------------------------------------------------------


def date_extractors(zone: tzinfo) -> Mapping[str, Extract]:
    """Return the extractors of dates; a date without an offset is in ``zone``."""

    @lru_cache(maxsize=8192)  # the slots of many agendas start at the same times
    def read(literal: str) -> tuple[int, int] | None:
        try:
            return interval(literal, zone)
        except ValueError:
            return None

    def span(value: Any) -> tuple[int, int] | None:
        return read(value) if value.__class__ is str else None

    def date(code: str, value: Any, entries: Entries) -> None:
        found = span(value)
        if found is not None:
            entries.append(Span(code, "", found[0], found[1]))

    def instant(code: str, value: Any, entries: Entries) -> None:
        found = span(value)
        if found is not None:
            entries.append(Span(code, "", found[0], found[0] + 1))

    def bounds(value: Any) -> tuple[int, int] | None:
        start, end = value.get("start"), value.get("end")
        first, last = span(start) if start else None, span(end) if end else None
        if first is None and last is None:
            return None
        low, high = first[0] if first else LOWEST, last[1] if last else HIGHEST
        return (low, high) if low < high else (low, low + 1)

    def period(code: str, value: Any, entries: Entries) -> None:
        found = bounds(value)
        if found is not None:
            entries.append(Span(code, "", found[0], found[1]))

    def timing(code: str, value: Any, entries: Entries) -> None:
        limits = [found for event in value.get("event") or () if (found := span(event)) is not None]
        within = (value.get("repeat") or {}).get("boundsPeriod")
        found = bounds(within) if within else None
        if found is not None:
            limits.append(found)
        if limits:
            entries.append(Span(code, "", min(low for low, _ in limits), max(high for _, high in limits)))

    return {"date": date, "dateTime": date, "instant": instant, "Period": period, "Timing": timing}


# --- number, quantity ------------------------------------------------------------------------------------------------


def _number(value: Any) -> float | None:
    if value is None or value.__class__ in (bool, str):
        return None
    try:
        number = float(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return None if math.isnan(number) else max(-LARGEST, min(number, LARGEST))


def point(number: float) -> tuple[float, float]:
    """Return a number as the half-open span that holds nothing else."""
    return number, min(math.nextafter(number, math.inf), LARGEST)


def _decimal(code: str, value: Any, entries: Entries) -> None:
    number = _number(value)
    if number is not None:
        entries.append(Span(code, "", *point(number)))


def _keys(value: Any) -> Iterator[str]:
    """Yield the keys of a quantity: its code with and without system, and the unit as people read it."""
    coded, system, unit = value.get("code"), value.get("system"), value.get("unit")
    if coded:
        if system:
            yield f"{coded}{US}{system}"
        yield f"{coded}{US}"
    if unit and unit != coded:
        yield f"{unit}{US}"
    if not coded and not unit:
        yield ""


def _quantity(code: str, value: Any, entries: Entries) -> None:
    number = _number(value.get("value"))
    if number is not None:
        span = _compared(number, value.get("comparator"))
        entries.extend(Span(code, key, *span) for key in _keys(value))


def _compared(number: float, comparator: Any) -> tuple[float, float]:
    """Return the span of a quantity: ``comparator`` is a modifier, ``> 100`` is all that is more and not 100.

    Spec: https://hl7.org/fhir/R4/datatypes-definitions.html#Quantity.comparator
    """
    start, end = point(number)
    match comparator:
        case "<":
            return -LARGEST, start
        case "<=":
            return -LARGEST, end
        case ">":
            return end, LARGEST
        case ">=":
            return start, LARGEST
    return start, end


def _money(code: str, value: Any, entries: Entries) -> None:
    currency = value.get("currency")
    coded = {"value": value.get("value"), "code": currency, "system": _ISO_4217} if currency else value
    _quantity(code, coded, entries)


def _range(code: str, value: Any, entries: Entries) -> None:
    low, high = value.get("low") or {}, value.get("high") or {}
    first, last = _number(low.get("value")), _number(high.get("value"))
    if first is None and last is None:
        return
    start = -LARGEST if first is None else first
    end = LARGEST if last is None else point(last)[1]
    entries.extend(Span(code, key, start, end) for key in _keys(low if first is not None else high))


NUMBER: Final[Mapping[str, Extract]] = {
    **dict.fromkeys(("decimal", "integer", "positiveInt", "unsignedInt"), _decimal),
    "Range": _range,
}

QUANTITY: Final[Mapping[str, Extract]] = {
    **dict.fromkeys(("Quantity", "SimpleQuantity", "Age", "Duration", "Distance", "Count"), _quantity),
    "Money": _money,
    "Range": _range,
    **dict.fromkeys(("decimal", "integer", "positiveInt", "unsignedInt"), _decimal),
}


# --- special ---------------------------------------------------------------------------------------------------------


def near(code: str, value: Any, entries: Entries) -> None:
    """Location.position: degrees."""
    latitude, longitude = _number(value.get("latitude")), _number(value.get("longitude"))
    if latitude is not None and longitude is not None and abs(latitude) <= 90 and abs(longitude) <= 180:
        entries.append(Point(code, latitude, longitude))
