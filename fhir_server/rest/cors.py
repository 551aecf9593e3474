"""Which web pages a browser lets call this server. https://fetch.spec.whatwg.org/#http-cors-protocol

The same origin needs none of it, and programs outside of browsers do not ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

REQUEST_HEADERS: Final = (
    "Accept",
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "If-Match",
    "If-Modified-Since",
    "If-None-Exist",
    "If-None-Match",
    "If-Unmodified-Since",
    "Prefer",
    "X-Request-Id",
)
"""What a page may send; those that every page may send anyway are not listed."""

RESPONSE_HEADERS: Final = ("Content-Location", "ETag", "Last-Modified", "Location", "Retry-After", "X-Request-Id")
"""What a page may read besides the headers that it always may."""

SECONDS: Final = 600
"""How long a browser may remember the answer to its preflight request."""


def with_cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Return the application as pages of these origins can call it; ``*`` is any.

    Cookies and client certificates, which a proxy may log users in by, go with requests of listed origins only.
    """
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=REQUEST_HEADERS,
        allow_credentials="*" not in origins,
        expose_headers=RESPONSE_HEADERS,
        max_age=SECONDS,
    )
