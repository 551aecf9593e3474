"""A request and its response without HTTP: what a Bundle entry and an HTTP call have in common.

Spec: https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fhir_server.model.formats import Json
from fhir_server.outcome import Issue


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. Everyone is anonymous until access control exists."""

    name: str = "anonymous"


ANONYMOUS: Final = Caller()


@dataclass(frozen=True, slots=True)
class Request:
    """``path`` is relative to the service base, without a leading slash and still percent-encoded, as ``query`` is.

    Header names are in lower case. ``body`` is decoded (no gzip); ``content_type`` is the media type alone. An entry of
    a Bundle brings ``resource``, its body already parsed, instead of bytes.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = ""
    resource: Json = None
    caller: Caller = ANONYMOUS
    id: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """``body`` is JSON in pieces, to be sent one after the other; empty: no body.

    ``modified`` is the instant of the version answered (microseconds). ``issues`` are remarks on a success, such as the
    warnings of validation.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: tuple[bytes, ...] = ()
    modified: int | None = None
    issues: tuple[Issue, ...] = ()
