"""Which format a client sends and which it wants. https://hl7.org/fhir/R4/http.html#mime-type"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from typing import Final

from fhir_server.outcome import BadRequest, Issue, IssueType, NotAcceptable, TooLarge, UnsupportedMediaType

FHIR_JSON: Final = "application/fhir+json"
JSON_TYPES: Final = frozenset({FHIR_JSON, "application/json", "application/json+fhir", "text/json"})
"""What is read and written as FHIR JSON; the SAS platform sends ``application/json+fhir``."""

PATCH_TYPES: Final = frozenset({"application/json-patch+json"})
FORM: Final = "application/x-www-form-urlencoded"

_FORMAT_WORDS: Final = JSON_TYPES | {"json"}
_ACCEPTED: Final = JSON_TYPES | PATCH_TYPES | {"*/*", "application/*", "text/*"}


def response_type(headers: Mapping[str, str], format_: str | None) -> str:
    """Return the media type to answer in. ``_format`` wins over ``Accept``. Raises ``NotAcceptable``."""
    if format_ is not None:
        word = format_.partition(";")[0].strip().replace(" ", "+")
        if word in _FORMAT_WORDS:
            return "application/json" if word == "application/json" else FHIR_JSON
        raise NotAcceptable(
            Issue(
                IssueType.NOT_SUPPORTED,
                f'_format "{word[:64]}" cannot be written; this server writes JSON only',
                ("http._format",),
                id="format-not-supported",
            )
        )
    accept = headers.get("accept")
    if not accept:
        return FHIR_JSON
    wanted = [media for media in map(_media_type, accept.split(",")) if media is not None]
    if any(media in _ACCEPTED and media != "application/json" for media in wanted):
        return FHIR_JSON
    if "application/json" in wanted:
        return "application/json"
    raise NotAcceptable(
        Issue(
            IssueType.NOT_SUPPORTED,
            "nothing in Accept can be written; this server writes application/fhir+json",
            ("http.Accept",),
            id="format-not-supported",
        )
    )


def request_type(headers: Mapping[str, str], *, method: str, is_search: bool) -> str:
    """Return the media type of a body. Raises ``UnsupportedMediaType``."""
    given = headers.get("content-type")
    if given is None:
        return FORM if is_search else FHIR_JSON
    media, version = _type_and_version(given)
    valid = {FORM} if is_search else (JSON_TYPES | PATCH_TYPES if method == "PATCH" else JSON_TYPES)
    if media in valid and version in {None, "4.0", "4.0.1"}:
        return media
    raise UnsupportedMediaType(
        Issue(
            IssueType.NOT_SUPPORTED,
            f'Content-Type "{given[:64]}" is not read here; expected is {" or ".join(sorted(valid))}, FHIR 4.0',
            ("http.Content-Type",),
            id="content-type",
        )
    )


def decoded(body: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    """Return a body without its Content-Encoding, at most ``limit`` bytes. Raises ``TooLarge``."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding in {"identity", ""}:
        return body
    if encoding not in {"gzip", "x-gzip"}:
        raise UnsupportedMediaType(f'Content-Encoding "{encoding[:32]}" is not read here; expected is gzip')
    unpack = zlib.decompressobj(wbits=31)
    try:
        data = unpack.decompress(body, limit + 1)
    except zlib.error:
        raise BadRequest("the body is not gzip, although Content-Encoding says so") from None
    if len(data) > limit:
        raise too_large(limit)
    if not unpack.eof or unpack.unused_data:
        raise BadRequest("the gzip body is cut off, or goes on after its end")
    return data


def compressed(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=5, mtime=0)


def takes_gzip(headers: Mapping[str, str]) -> bool:
    """Tell whether ``Accept-Encoding`` allows gzip."""
    for item in headers.get("accept-encoding", "").split(","):
        coding, _, parameters = item.partition(";")
        if coding.strip().lower() in {"gzip", "*"}:
            return not _is_zero(parameters)
    return False


def too_large(limit: int) -> TooLarge:
    return TooLarge(Issue(IssueType.TOO_LONG, f"the body is larger than the limit of {limit} bytes", id="body-limit"))


def _media_type(item: str) -> str | None:
    """Return one media type of Accept, or None if it is refused by q=0 or asks for another FHIR version."""
    media, _, parameters = item.partition(";")
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name == "q" and _is_zero(parameter):
            return None
        if name == "fhirVersion" and value.strip('"') not in {"4.0", "4.0.1"}:
            return None
    return media.strip().lower()


def _is_zero(parameter: str) -> bool:
    name, _, value = parameter.strip().partition("=")
    try:
        return name == "q" and float(value) == 0
    except ValueError:
        return False


def _type_and_version(text: str) -> tuple[str, str | None]:
    media, *parameters = (part.strip() for part in text.split(";"))
    version = None
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "fhirVersion":
            version = value.strip().strip('"')
    return media.lower(), version
