"""The headers that carry a meaning of FHIR: ETag and its conditions, dates, Prefer.

Spec: https://hl7.org/fhir/R4/http.html#concurrency and https://hl7.org/fhir/R4/http.html#ops
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final

from fhir_server.model.primitives import micros
from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.storage.protocol import Stored

SECOND: Final = 1_000_000
"""In microseconds: a date of HTTP has whole seconds."""

_ETAG: Final = re.compile(r'(?:W/)?"([^"]*)"|([A-Za-z0-9\-.]{1,64})')
"""An entity tag, weak or strong; or a bare version, which some clients send."""

_ASCTIME: Final = re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}")
"""``Sun Nov  6 08:49:37 1994``."""

_ETAGS: Final = re.compile(rf"(?:{_ETAG.pattern})(?:\s*,\s*(?:{_ETAG.pattern}))*")


class Return(StrEnum):
    """What a write answers with. https://hl7.org/fhir/R4/http.html#ops"""

    REPRESENTATION = "representation"
    MINIMAL = "minimal"
    OUTCOME = "OperationOutcome"


@dataclass(frozen=True, slots=True)
class Preferences:
    """The ``Prefer`` header; ``returns`` is None where the client did not say."""

    returns: Return | None = None
    lenient: bool = False
    strict: bool = False


def etag(version: int) -> str:
    """Return the entity tag of a version: ``W/"3"``."""
    return f'W/"{version}"'


def http_date(instant: int) -> str:
    """Return microseconds since the epoch as RFC 7231 writes a date: ``Tue, 15 Nov 1994 08:12:31 GMT``."""
    return _http_date(instant // SECOND)


@lru_cache(maxsize=1024)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)


def of_version(stored: Stored) -> dict[str, str]:
    """Return the ETag and Last-Modified of one version."""
    return {"ETag": etag(stored.version), "Last-Modified": http_date(stored.instant)}


def if_match(headers: Mapping[str, str]) -> frozenset[str] | None:
    """Return the versions that ``If-Match`` allows (``*`` among them: any), or None. Raises ``BadRequest``."""
    return _versions(headers, "If-Match")


def if_none_match(headers: Mapping[str, str]) -> frozenset[str] | None:
    """Return the versions that ``If-None-Match`` names (``*`` among them: any), or None. Raises ``BadRequest``."""
    return _versions(headers, "If-None-Match")


def _versions(headers: Mapping[str, str], name: str) -> frozenset[str] | None:
    text = headers.get(name.lower())
    if text is None:
        return None
    text = text.strip()
    if text == "*":
        return _ANY
    if not _ETAGS.fullmatch(text):
        raise _bad(name, 'ETags such as W/"3", or *')
    return frozenset(quoted or bare for quoted, bare in _ETAG.findall(text))


def if_modified_since(headers: Mapping[str, str]) -> int | None:
    """Return the instant of ``If-Modified-Since`` (microseconds), or None; a date that cannot be read is no condition,
    as RFC 7232 demands."""
    text = headers.get("if-modified-since")
    return None if text is None else _instant(text)


def if_unmodified_since(headers: Mapping[str, str]) -> int | None:
    """Return the instant of ``If-Unmodified-Since`` (microseconds), or None. Raises ``BadRequest``.

    A date that cannot be read is refused: what is meant to keep others' changes must not be ignored.
    """
    text = headers.get("if-unmodified-since")
    if text is None:
        return None
    found = _instant(text)
    if found is None:
        raise _bad("If-Unmodified-Since", "a date such as Tue, 15 Nov 1994 08:12:31 GMT")
    return found


def _instant(text: str) -> int | None:
    """Return the microseconds of a date of HTTP, None if it cannot be read. All three forms are in GMT; that of C's
    asctime does not say so. https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7"""
    try:
        moment = parsedate_to_datetime(text)
        return micros(moment.replace(tzinfo=UTC) if _ASCTIME.fullmatch(text) else moment)
    except (ValueError, TypeError, OverflowError):
        return None


def preferences(headers: Mapping[str, str]) -> Preferences:
    """Return what ``Prefer`` asks for; preferences that are not FHIR's are ignored, as RFC 7240 demands."""
    text = headers.get("prefer")
    if text is None:
        return _NONE
    words = {word.strip().replace('"', "") for word in re.split(r"[,;]", text)}
    returns = next((value for value in Return if f"return={value.value}" in words), None)
    return Preferences(returns, lenient="handling=lenient" in words, strict="handling=strict" in words)


_ANY: Final = frozenset("*")
_NONE: Final = Preferences()


def _bad(name: str, expected: str) -> BadRequest:
    return BadRequest(
        Issue(IssueType.VALUE, f"{name} cannot be read; expected is {expected}", (f"http.{name}",), id="header-value")
    )
