"""Which format a client sends and which it wants. https://hl7.org/fhir/R4/http.html#mime-type"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import isfinite
from typing import Final

from fhir_server.model.media_types import FHIR_JSON, FORM, JSON, JSON_TYPES, PATCH_TYPES
from fhir_server.outcome import BadRequest, Issue, IssueType, NotAcceptable, TooLarge, UnsupportedMediaType

FORM_BYTES: Final = 500_000
"""The largest form: a search has 200 parameters at most."""

_FORMAT_WORDS: Final = JSON_TYPES | {"json"}
_VERSIONS: Final = frozenset({"4.0", "4.0.1"})
_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii"})
_SHORT: Final = re.compile(r"[\x20-\x7e]{0,200}")
_ACCEPTED: Final = PATCH_TYPES | {"*/*", "application/*", "text/*"}


def response_type(headers: Mapping[str, str], format_: str | None) -> str:
    """Return the media type to answer in. ``_format`` wins over ``Accept``. Raises ``NotAcceptable``."""
    if format_ is not None:
        media, parameters = _media_and_parameters(format_)
        media = media.replace(" ", "+")  # a plus sign that nobody percent-encoded
        if media in _FORMAT_WORDS and parameters.get("fhirversion", "4.0") in _VERSIONS:
            return JSON if media == JSON else FHIR_JSON
        raise NotAcceptable(
            Issue(
                IssueType.NOT_SUPPORTED,
                f"received {_shown(format_)}; this server writes JSON only: json, application/fhir+json",
                ("http._format",),
                id="format-not-supported",
            )
        )
    return _accepted(headers.get("accept", ""))


@lru_cache(maxsize=256)
def _accepted(accept: str) -> str:
    """Return the media type that an Accept header asks for: clients repeat it. Raises ``NotAcceptable``."""
    if not accept.strip():
        return FHIR_JSON
    wanted = [(quality, media) for item in accept.split(",") for media, quality in _wanted(item)]
    best = max(wanted, key=lambda pair: pair[0], default=(0.0, ""))
    if best[0] > 0:
        return best[1]
    raise NotAcceptable(
        Issue(
            IssueType.NOT_SUPPORTED,
            f"received {_shown(accept)}; this server writes application/fhir+json, FHIR 4.0",
            ("http.Accept",),
            id="format-not-supported",
        )
    )


def request_type(headers: Mapping[str, str], *, method: str, is_search: bool) -> str:
    """Return the media type of a body. Raises ``UnsupportedMediaType``."""
    given = headers.get("content-type")
    if given is None and method == "PATCH":
        return ""  # nothing tells the kind of patch; refused where it is known that a PATCH is what the URL takes
    if given is None:
        return FORM if is_search else FHIR_JSON
    media, parameters = _media_and_parameters(given)
    valid = {FORM} if is_search else (PATCH_TYPES if method == "PATCH" else JSON_TYPES)
    is_ours = parameters.get("fhirversion", "4.0") in _VERSIONS
    if media in valid and is_ours and parameters.get("charset", "utf-8").lower() in _CHARSETS:
        return media
    raise UnsupportedMediaType(
        Issue(
            IssueType.NOT_SUPPORTED,
            f"received {_shown(given)}; expected is {' or '.join(sorted(valid))}, FHIR 4.0, in UTF-8",
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
        raise UnsupportedMediaType(_encoding(f"received {_shown(encoding)}; expected is gzip"))
    unpack = zlib.decompressobj(wbits=31)
    try:
        data = unpack.decompress(body, limit + 1)
    except zlib.error:
        raise BadRequest(_encoding("the body is not gzip, although Content-Encoding says so")) from None
    if len(data) > limit:
        raise too_large(len(data), limit)
    if not unpack.eof or unpack.unused_data:
        raise BadRequest(_encoding("the gzip body is cut off, or goes on after its end"))
    return data


def compressed(body: bytes) -> bytes:
    """Return a body as gzip, the same for the same body."""
    return gzip.compress(body, compresslevel=3, mtime=0)


def takes_gzip(headers: Mapping[str, str]) -> bool:
    """Tell whether ``Accept-Encoding`` allows gzip."""
    for item in headers.get("accept-encoding", "").split(","):
        coding, _, parameters = item.partition(";")
        if coding.strip().lower() in {"gzip", "*"}:
            _, given = _media_and_parameters(f";{parameters}")
            return _quality(given.get("q", "1")) > 0
    return False


def too_large(size: int, limit: int) -> TooLarge:
    """Return the refusal of a body; ``size`` is what is known of it, at least."""
    text = f"the body has {size} bytes or more; the limit is {limit}"
    return TooLarge(Issue(IssueType.TOO_LONG, text, id="body-limit"))


def _shown(text: str) -> str:
    """Return a client's text as an error may repeat it: printable, and not without end."""
    return f'"{text}"' if _SHORT.fullmatch(text) else "what cannot be shown"


def _encoding(text: str) -> Issue:
    return Issue(IssueType.INVALID, text, ("http.Content-Encoding",), id="content-encoding")


def _wanted(item: str) -> Iterator[tuple[str, float]]:
    """Yield what one item of Accept lets us write, and how much it is wanted."""
    media, parameters = _media_and_parameters(item)
    if media in _ACCEPTED and parameters.get("fhirversion", "4.0") in _VERSIONS:
        yield (JSON if media == JSON else FHIR_JSON), _quality(parameters.get("q", "1"))


def _quality(text: str) -> float:
    """Return a quality of Accept; what cannot be read counts as 1."""
    try:
        quality = float(text)
    except ValueError:
        return 1.0
    return min(max(quality, 0.0), 1.0) if isfinite(quality) else 1.0


def _media_and_parameters(text: str) -> tuple[str, dict[str, str]]:
    """Return a media type and its parameters; names are in lower case, values without quotes."""
    media, *rest = text.split(";")
    parameters = {}
    for part in rest:
        name, _, value = part.partition("=")
        parameters[name.strip().lower()] = value.strip().strip('"')
    return media.strip().lower(), parameters
