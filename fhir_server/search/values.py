"""Values of search parameters: text to typed values, and text to what the index compares.

Percent-encoding is another level, undone before. Every function here raises ``ValueError`` with a sentence that says
what was expected, never what was received: the caller names the parameter.
Spec: https://hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import tzinfo
from decimal import Decimal
from typing import Final, NamedTuple, TypeAlias

from fhir_server.model.primitives import ID, interval

PREFIXES: Final = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
"""https://hl7.org/fhir/R4/search.html#prefix"""

ID_FORM: Final = "an id is 1 to 64 of A-Z a-z 0-9 - ."

LARGEST: Final = 1.7976931348623157e308
"""The largest float: an open end of a range of numbers."""

METRES: Final = {
    "km": 1_000.0,
    "m": 1.0,
    "cm": 0.01,
    "mi": 1_609.344,
    "[mi_i]": 1_609.344,
    "[mi_us]": 1_609.347_218_694,
    "[nmi_i]": 1_852.0,
    "[ft_i]": 0.3048,
    "ft": 0.3048,
    "[yd_i]": 0.9144,
    "yd": 0.9144,
}
"""Units of ``near``: UCUM codes, and the plain names that clients send."""

NEAR_METRES: Final = 10_000.0
"""The distance of ``near`` where none is given: the specification leaves it to the server."""

SPECIAL_VALUES: Final = frozenset(
    ("http://terminology.hl7.org/CodeSystem/special-values", "http://hl7.org/fhir/special-values")
)
"""The code system that R4 says booleans have, and its former name. https://hl7.org/fhir/R4/search.html#token"""

_PREFIXED: Final = re.compile(r"([a-z]{2})?(.*)", re.DOTALL)
_NUMBER: Final = re.compile(r"(?P<mantissa>-?[0-9]{1,40}(?:\.[0-9]{1,40})?)(?:[eE](?P<exponent>[+-]?[0-9]{1,3}))?")
_BLANK_FOR_PLUS: Final = re.compile(r"(T[0-9:.]+) ([0-9]{2}:[0-9]{2})")


# --- typed values ----------------------------------------------------------------------------------------------------


class StringValue(NamedTuple):
    """A text as it was asked for, not folded yet."""

    text: str


class TokenValue(NamedTuple):
    """``system`` None: any system; ``""``: no system. ``code`` None: any code of the system."""

    system: str | None
    code: str | None


class ValueSetValue(NamedTuple):
    """``:in`` and ``:not-in``: a value set by its canonical URL, or by a reference. ``parameter`` is the name as the
    client wrote it. Before a search is planned, its codes take its place: ``value_sets``."""

    text: str
    parameter: str


class OfTypeValue(NamedTuple):
    """``:of-type``: an Identifier by its type's coding and its value."""

    system: str
    code: str
    value: str


class DateValue(NamedTuple):
    """``literal``: a date, dateTime or instant of any precision, a zone or none."""

    prefix: str
    literal: str


class NumberValue(NamedTuple):
    """``low`` and ``high``: the half-open range that the precision written implies."""

    prefix: str
    number: float
    low: float
    high: float


class QuantityValue(NamedTuple):
    """``system`` and ``code`` None: any unit. ``system`` None alone: the code, or the unit as people read it."""

    number: NumberValue
    system: str | None
    code: str | None


class ReferenceValue(NamedTuple):
    """An id, ``Type/id`` or an absolute URL, as it was asked for."""

    text: str


class UriValue(NamedTuple):
    """A URI, compared letter by letter."""

    uri: str


class NearValue(NamedTuple):
    """A point in degrees (WGS 84) and the distance around it."""

    latitude: float
    longitude: float
    metres: float


class MissingValue(NamedTuple):
    """``:missing``."""

    is_missing: bool


Value: TypeAlias = (
    StringValue
    | TokenValue
    | ValueSetValue
    | OfTypeValue
    | DateValue
    | NumberValue
    | QuantityValue
    | ReferenceValue
    | UriValue
    | NearValue
    | MissingValue
)


# --- escapes ---------------------------------------------------------------------------------------------------------


def split(text: str, separator: str) -> list[str]:
    """Return the parts between separators that no backslash escapes; the parts keep their escapes.

    Spec: https://hl7.org/fhir/R4/search.html#escaping
    """
    if "\\" not in text:
        return text.split(separator)
    return list(_parts(text, separator))


def unescape(text: str) -> str:
    r"""Return text with ``\,`` ``\|`` ``\$`` ``\\`` undone. A backslash before anything else is a backslash."""
    if "\\" not in text:
        return text
    return re.sub(r"\\([,|$\\])", r"\1", text)


def escape(text: str) -> str:
    r"""Return text as one value: ``,`` ``|`` ``$`` ``\`` escaped."""
    return re.sub(r"([,|$\\])", r"\\\1", text)


def _parts(text: str, separator: str) -> Iterator[str]:
    start = at = 0
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == separator:
            yield text[start:at]
            start = at + 1
        at += 1
    yield text[start:]


# --- tokens, references, uris ----------------------------------------------------------------------------------------


def parse_token(text: str) -> TokenValue:
    """Return the token of ``code``, ``system|code``, ``|code`` or ``system|``."""
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) == 1:
        if not parts[0]:
            raise ValueError("a token is code, system|code, |code or system|")
        return TokenValue(None, parts[0])
    if len(parts) > 2:
        raise ValueError("a token has one bar, between system and code; a bar inside of either is written \\|")
    system, code = parts
    if not system and not code:
        raise ValueError("a token is code, system|code, |code or system|")
    return TokenValue(system, code or None)


def parse_id(text: str) -> TokenValue:
    """Return the token of a logical id, which stands alone: no system, no type."""
    token = parse_token(text)
    if token.system or not ID.fullmatch(token.code or ""):
        raise ValueError(f"the logical id alone, without type or system; {ID_FORM}")
    return token


def without_boolean_system(token: TokenValue) -> TokenValue:
    """Return the token of a boolean without the code system that booleans have and nobody writes."""
    return TokenValue(None, token.code) if token.system in SPECIAL_VALUES else token


def parse_of_type(text: str) -> OfTypeValue:
    """Return the value of ``:of-type``: ``system|code|value``, all three present."""
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) != 3 or not all(parts):
        raise ValueError("of-type takes system|code|value: the identifier's type, then its value")
    return OfTypeValue(*parts)


def parse_missing(text: str) -> MissingValue:
    """Return the value of ``:missing``. Raises ``ValueError`` unless it is true or false."""
    if text not in ("true", "false"):
        raise ValueError("missing takes true or false")
    return MissingValue(text == "true")


# --- prefixes, numbers, quantities -----------------------------------------------------------------------------------


def parse_prefix(text: str) -> tuple[str, str]:
    """Return ``(prefix, rest)``; without prefix it is ``eq``. Any other two letters are refused."""
    match = _PREFIXED.fullmatch(text)
    prefix, rest = match.groups() if match else (None, text)
    if prefix is None:
        return "eq", rest
    if prefix not in PREFIXES:
        raise ValueError(f"the prefixes are {', '.join(PREFIXES)}")
    return prefix, rest


def parse_number(text: str) -> NumberValue:
    """Return a number with its prefix and the range that its digits imply: ``100`` is [99.5, 100.5).

    Spec: https://hl7.org/fhir/R4/search.html#number
    """
    prefix, literal = parse_prefix(text)
    match = _NUMBER.fullmatch(literal)
    if match is None:
        raise ValueError("a number is written 100, 100.00 or 1.0e2, with at most 40 digits on either side of the point")
    number = Decimal(literal)
    if not math.isfinite(float(number)) or abs(int(match["exponent"] or 0)) > 300:
        raise ValueError("a number lies between -1e300 and 1e300")
    half = _half_unit(number)
    if prefix == "ap":
        half = max(half, abs(number) / 10)
    return NumberValue(prefix, float(number), float(number - half), float(number + half))


def _half_unit(number: Decimal) -> Decimal:
    """Return half a unit of the last digit written. 1e2 covers [95, 105): the specification's own figure, which takes
    one digit more where the last one written stands above the units."""
    exponent = number.as_tuple().exponent
    place = exponent if isinstance(exponent, int) else 0
    return Decimal(5).scaleb(place - 2 if place > 0 else place - 1)


def parse_quantity(text: str) -> QuantityValue:
    """Return the quantity of ``number``, ``number|system|code`` or ``number||code``."""
    first, *unit = (unescape(part) for part in split(text, "|"))
    if not unit:
        return QuantityValue(parse_number(first), None, None)
    if len(unit) != 2 or not unit[1]:
        raise ValueError("a quantity is number, number|system|code or number||code")
    return QuantityValue(parse_number(first), unit[0] or None, unit[1])


# --- dates -----------------------------------------------------------------------------------------------------------


def parse_date(text: str, zone: tzinfo) -> DateValue:
    """Return a date with its prefix, read as ``with_plus`` has it."""
    prefix, literal = parse_prefix(with_plus(text))
    interval(literal, zone)
    return DateValue(prefix, literal)


def with_plus(text: str) -> str:
    """Return dates with the plus of an offset where a blank stands: a ``+`` that was not encoded."""
    return _BLANK_FOR_PLUS.sub(r"\1+\2", text) if " " in text else text


def date_range(value: DateValue, zone: tzinfo, now: int) -> tuple[int, int]:
    """Return the span that a searched date covers, microseconds, half-open.

    ``ap`` widens it on both sides by a tenth of its distance from ``now``.
    """
    low, high = interval(value.literal, zone)
    if value.prefix == "ap":
        margin = max(low - now, now - high, 0) // 10
        return low - margin, high + margin
    return low, high


# --- places ----------------------------------------------------------------------------------------------------------


def parse_near(text: str) -> NearValue:
    """Return the place of ``latitude|longitude[|distance[|unit]]``; the distance is in km where no unit is given.

    Spec: https://hl7.org/fhir/R4/location.html#search
    """
    parts = [unescape(part) for part in split(text, "|")]
    if not 2 <= len(parts) <= 4:
        raise ValueError("near takes latitude|longitude|distance|unit")
    latitude, longitude = _degrees(parts[0], 90), _degrees(parts[1], 180)
    unit = parts[3] if len(parts) == 4 and parts[3] else "km"
    if unit not in METRES:
        raise ValueError(f"the units of near are {', '.join(METRES)}")
    if len(parts) == 2 or not parts[2]:
        return NearValue(latitude, longitude, NEAR_METRES)
    if not _NUMBER.fullmatch(parts[2]) or parts[2].startswith("-"):
        raise ValueError("the distance of near is a number, zero or more")
    metres = float(parts[2]) * METRES[unit]
    if not math.isfinite(metres):
        raise ValueError("the distance of near is a number, zero or more")
    return NearValue(latitude, longitude, metres)


def _degrees(text: str, limit: int) -> float:
    if not _NUMBER.fullmatch(text) or not -limit <= float(text) <= limit:
        raise ValueError("near takes latitude (-90 to 90)|longitude (-180 to 180)|distance|unit")
    return float(text)
