"""The checks of primitive types: JSON type and format. https://hl7.org/fhir/R4/datatypes.html#primitive"""

from __future__ import annotations

import binascii
import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

from fhir_server.model.formats import Decimal
from fhir_server.model.primitives import ID
from fhir_server.validation.faults import Check, Fault, Found, Scope, mismatch

MAX_STRING: Final = 1024 * 1024
"""Characters. Spec: https://hl7.org/fhir/R4/datatypes.html#string"""

MAX_EXPONENT: Final = 1000
"""Of ten, in a decimal: more is an attack on who computes with it."""

_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_ZONE: Final = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_YEAR: Final = "(?!0000)([0-9]{4})"
_MONTH: Final = "(0[1-9]|1[0-2])"
_DAY: Final = "(0[1-9]|[12][0-9]|3[01])"
_DATE: Final = re.compile(f"{_YEAR}(?:-{_MONTH}(?:-{_DAY})?)?")
_DATE_TIME: Final = re.compile(f"{_YEAR}(?:-{_MONTH}(?:-{_DAY}(?:T{_TIME}{_ZONE})?)?)?")
_INSTANT: Final = re.compile(f"{_YEAR}-{_MONTH}-{_DAY}T{_TIME}{_ZONE}")


def _exists(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    """Return whether a text matches and its day is in the calendar."""

    def is_valid(text: str) -> bool:
        match = pattern.fullmatch(text)
        if match is None:
            return False
        year, month, day = match.groups()
        return day is None or day < "29" or int(day) <= monthrange(int(year), int(month))[1]

    return is_valid


def _is_base64(text: str) -> bool:
    data = "".join(text.split())
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        return False
    return bool(data)


def _matches(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern).fullmatch


_NO_SPACE: Final = _matches(r"\S+")

_TEXTS: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = {
    "base64Binary": ("base64 (RFC 4648)", _is_base64),
    "canonical": ("a canonical URL without white space", _NO_SPACE),
    "code": ("a code: no white space but single spaces inside", _matches(r"\S+(?: \S+)*")),
    "date": ("a date that exists: YYYY, YYYY-MM or YYYY-MM-DD", _exists(_DATE)),
    "dateTime": ("YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss[.sss] with Z or ±hh:mm", _exists(_DATE_TIME)),
    "id": ("an id: 1 to 64 of A-Z a-z 0-9 - .", ID.fullmatch),
    "instant": ("YYYY-MM-DDThh:mm:ss[.sss] with Z or ±hh:mm", _exists(_INSTANT)),
    "markdown": ("a string", bool),
    "oid": ("urn:oid: and an OID", _matches(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+")),
    "string": ("a string", bool),
    "time": ("a time: hh:mm:ss[.sss]", _matches(_TIME)),
    "uri": ("a URI without white space", _NO_SPACE),
    "url": ("a URL without white space", _NO_SPACE),
    "uuid": ("urn:uuid: and a UUID in lower case", _matches("urn:uuid:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")),
    "xhtml": ("XHTML", bool),
}

_LIMITED: Final = frozenset(("string", "markdown", "code", "id"))
_INTEGERS: Final[Mapping[str, tuple[int, str]]] = {
    "integer": (-(2**31), "a whole number from -2147483648 to 2147483647"),
    "unsignedInt": (0, "a whole number from 0 to 2147483647"),
    "positiveInt": (1, "a whole number from 1 to 2147483647"),
}


def _misplaced(value: Any, expected: str) -> Found:
    """Return the fault of null or an array in the place of one value, whatever its type."""
    if value is None:
        return mismatch("structure-null", value, expected)
    if isinstance(value, list):
        return mismatch("cardinality-single", value, f"one value: {expected}")
    return None


def _explain_text(name: str, value: Any) -> Found:
    """Return what is wrong with a value of a primitive type that JSON writes as a string; perhaps nothing."""
    expected, is_valid = _TEXTS[name]
    if not isinstance(value, str):
        return _misplaced(value, expected) or mismatch(f"type-{name}", value, expected)
    if not value or value.isspace():
        return [Fault("string-blank", f"received a string without content, expected {expected}")]
    if _CONTROL.search(value):
        return [Fault("string-character", "received a control character or half a surrogate pair in a string")]
    if name in _LIMITED and len(value) > MAX_STRING:
        return mismatch("string-length", value, f"at most {MAX_STRING} characters")
    return None if is_valid(value) else mismatch(f"format-{name}", value, expected)


def _check_string(value: Any, owner: dict[str, Any], scope: Scope) -> Found:
    if type(value) is str and value and value.isprintable() and not value.isspace() and len(value) <= MAX_STRING:
        return None
    return _explain_text("string", value)


def _text_check(name: str) -> Check:
    """Return the check of a type whose format decides alone (it admits no control character)."""
    is_valid = _TEXTS[name][1]

    def check(value: Any, owner: dict[str, Any], scope: Scope) -> Found:
        if type(value) is str and is_valid(value):
            return None
        return _explain_text(name, value)

    return check


def _printable_check(name: str) -> Check:
    """Return the check of a type whose format does not see control characters."""
    is_valid = _TEXTS[name][1]

    def check(value: Any, owner: dict[str, Any], scope: Scope) -> Found:
        if type(value) is str and value.isprintable() and is_valid(value) and len(value) <= MAX_STRING:
            return None
        return _explain_text(name, value)

    return check


def _check_boolean(value: Any, owner: dict[str, Any], scope: Scope) -> Found:
    if value is True or value is False:
        return None
    return _misplaced(value, "true or false") or mismatch("type-boolean", value, "true or false")


def _integer_check(name: str) -> Check:
    least, expected = _INTEGERS[name]

    def check(value: Any, owner: dict[str, Any], scope: Scope) -> Found:
        if type(value) is int:
            return None if least <= value <= 2147483647 else mismatch(f"format-{name}", value, expected)
        return _misplaced(value, expected) or mismatch(f"type-{name}", value, expected)

    return check


def _check_decimal(value: Any, owner: dict[str, Any], scope: Scope) -> Found:
    if type(value) is int:
        return None
    if type(value) is not Decimal:
        return _misplaced(value, "a number") or mismatch("type-decimal", value, "a number")
    if value.is_finite() and (not value or -MAX_EXPONENT <= value.adjusted() <= MAX_EXPONENT):
        return None
    return mismatch("format-decimal", value, f"a number between 1E-{MAX_EXPONENT} and 1E+{MAX_EXPONENT}")


CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "boolean": _check_boolean,
        "decimal": _check_decimal,
        "string": _check_string,
        **{name: _integer_check(name) for name in _INTEGERS},
        **{name: _text_check(name) for name in ("base64Binary", "date", "dateTime", "id", "instant", "oid")},
        **{name: _text_check(name) for name in ("time", "uuid")},
        **{name: _printable_check(name) for name in ("canonical", "code", "markdown", "uri", "url", "xhtml")},
    }
)
"""The check of each primitive type, for one value."""


def code_check(codes: Mapping[str, object], value_set: str) -> Check:
    """Return the check of a code that must be one of ``codes``."""
    told = ", ".join(sorted(codes)) if len(codes) <= 24 else f"a code of {value_set}"

    def check(value: Any, owner: dict[str, Any], scope: Scope) -> Found:
        if type(value) is str and value in codes:
            return None
        # Only what is nearly a code is repeated: anything else may be a name or a number in the wrong place.
        near = type(value) is str and len(value) <= _LONGEST and get_close_matches(value, codes, n=1, cutoff=0.7)
        shown = f'received the code "{value}"' if near else "received another code"
        return _explain_text("code", value) or [Fault("code-required", f"{shown}, expected one of: {told}")]

    return check


_LONGEST: Final = 40
"""Characters of the longest code of R4's required value sets, about."""
