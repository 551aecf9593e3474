"""What one value of a resource is, held against one value of a search: the words of the specification, type by type.

Spec: https://hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

NAME_PARTS = ("family", "given", "prefix", "suffix", "text")


def unescape(text: str) -> str:
    return re.sub(r"\\([,$\\])", r"\1", text)


# --- tokens: https://hl7.org/fhir/R4/search.html#token


def codings(value: Any, implied: str | None) -> Iterator[tuple[str, str | None]]:
    """Yield (code, system) of whatever a token is searched on; an implied system is marked by a leading space."""
    if isinstance(value, bool):
        yield str(value).lower(), None
    elif isinstance(value, str):
        yield value, f" {implied}" if implied else None
    elif "coding" in value or "text" in value:
        for coding in value.get("coding", []):
            yield coding.get("code", ""), coding.get("system")
    elif "value" in value and "rank" not in value:
        yield value["value"], value.get("system")
        if value.get("system") in ("phone", "email", "fax"):  # a ContactPoint has no code system
            yield value["value"], None
    else:
        yield value.get("code", ""), value.get("system")


def token(value: Any, modifier: str, wanted: str, implied: str | None) -> bool:
    if modifier == "text":
        return any(fold(text).startswith(fold(wanted)) for text in displays(value))
    if modifier == "of-type":
        system, code, text = re.split(r"(?<!\\)\|", wanted)
        kinds = value.get("type", {}).get("coding", [])
        return value.get("value") == text and {"system": system, "code": code} in [
            {"system": kind.get("system"), "code": kind.get("code")} for kind in kinds
        ]
    parts = re.split(r"(?<!\\)\|", wanted)
    parts = [part.replace("\\|", "|") for part in parts]
    for code, system in codings(value, implied):
        is_implied = system is not None and system.startswith(" ")
        plain = system.strip() if system else ""
        if len(parts) == 1:
            matched = code == parts[0]
        elif not parts[1]:
            matched = plain == parts[0]
        elif not parts[0]:
            matched = code == parts[1] and (not plain or is_implied)
        else:
            matched = code == parts[1] and plain == parts[0]
        if matched:
            return True
    return False


def displays(value: Any) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    if "text" in value:
        yield value["text"]
    if "display" in value:
        yield value["display"]
    for coding in value.get("coding", []):
        if "display" in coding:
            yield coding["display"]
    if isinstance(value.get("type"), dict) and "text" in value["type"]:
        yield value["type"]["text"]


# --- strings: https://hl7.org/fhir/R4/search.html#string


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        return
    for name in NAME_PARTS:
        part = value.get(name, [])
        yield from [part] if isinstance(part, str) else part


def fold(text: str) -> str:
    """No case, no accents, no ligatures, no punctuation between words, single blanks."""
    plain = "".join(one for one in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(one))
    plain = plain.replace("œ", "oe").replace("æ", "ae")
    spaced = "".join(" " if unicodedata.category(one) in ("Pd", "Ps", "Pe", "Pi", "Pf") else one for one in plain)
    return " ".join(re.sub("[.,;:!?'\"’]", " ", spaced).split()) or " ".join(plain.split())


def string(value: Any, modifier: str, wanted: str) -> bool:
    for text in texts(value):
        if modifier == "exact":
            matched = text == wanted
        elif modifier == "contains":
            matched = fold(wanted) in fold(text)
        else:
            matched = fold(text).startswith(fold(wanted))
        if matched:
            return True
    return False


def uri(value: str, modifier: str, wanted: str) -> bool:
    """A canonical is meant with its version and without."""
    for one in {value, value.partition("|")[0]}:
        if modifier == "below":
            matched = one == wanted or one.startswith(wanted.rstrip("/") + "/")
        elif modifier == "above":
            matched = wanted == one or wanted.startswith(one.rstrip("/") + "/")
        else:
            matched = one == wanted
        if matched:
            return True
    return False


# --- numbers: https://hl7.org/fhir/R4/search.html#number, https://hl7.org/fhir/R4/search.html#quantity


LARGEST, LEAST = Decimal("Infinity"), Decimal("1e-20")


def ends(value: Any) -> tuple[Decimal, Decimal]:
    """Return the least and the greatest number that a stored value covers."""
    if not isinstance(value, dict):
        return Decimal(str(value)), Decimal(str(value))
    if "value" in value:
        middle = Decimal(str(value["value"]))
        return {
            "<": (-LARGEST, middle - LEAST),
            "<=": (-LARGEST, middle),
            ">": (middle + LEAST, LARGEST),
            ">=": (middle, LARGEST),
        }.get(value.get("comparator", ""), (middle, middle))
    low, high = value.get("low", {}).get("value", "-Infinity"), value.get("high", {}).get("value", "Infinity")
    return Decimal(str(low)), Decimal(str(high))


def number(value: Any, wanted: str) -> bool:
    prefix, literal = (wanted[:2], wanted[2:]) if wanted[:1].isalpha() else ("eq", wanted)
    wished = Decimal(literal)
    exponent = wished.as_tuple().exponent
    half = Decimal(5) * Decimal(10) ** (int(exponent) - 1)
    if prefix == "ap":
        half = max(half, abs(wished) / 10)
    least, greatest = ends(value)
    rounds = wished - half <= least and greatest < wished + half
    same = least == greatest == wished
    return {
        "eq": rounds,
        "ne": not rounds,
        "gt": greatest > wished,
        "lt": least < wished,
        "ge": greatest > wished or same,
        "le": least < wished or same,
        "sa": least > wished,
        "eb": greatest < wished,
        "ap": least < wished + half and greatest >= wished - half,
    }[prefix]


def quantity(value: Any, wanted: str) -> bool:
    """``number|system|code``; without system the code, or the unit as people read it; units are not converted."""
    literal, *unit = wanted.split("|")
    if unit:
        system, code = unit
        named = code in (value.get("code"), value.get("unit"))
        exact = (value.get("system"), value.get("code")) == (system, code)
        if not (exact if system else named):
            return False
    return number(value, literal)


# --- near: https://hl7.org/fhir/R4/location.html#search


def is_near(value: Any, wanted: str) -> bool:
    latitude, longitude, distance, unit = [*wanted.split("|"), "km"][:4]
    metres = Decimal(distance) * {"km": 1000, "m": 1}[unit]
    return chord(value, latitude, longitude) <= 2 * math.sin(min(float(metres) / 6_371_008.8 / 2, math.pi / 2))


def chord(value: Any, latitude: str, longitude: str) -> float:
    """Return the distance straight through the Earth, in its radii: it orders places as the way around does."""
    one = [math.radians(float(value["latitude"])), math.radians(float(value["longitude"]))]
    other = [math.radians(float(latitude)), math.radians(float(longitude))]
    points = [(math.cos(a) * math.cos(b), math.cos(a) * math.sin(b), math.sin(a)) for a, b in (one, other)]
    return math.dist(*points)
