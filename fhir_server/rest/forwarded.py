"""Which base URL is written to a client behind a proxy: forwarded headers tell, where a trusted peer has sent them.

They choose among the configured base URLs, and make one only where none is configured. Anyone else's are not looked at;
nor is a request's ``Host``, unless a trusted proxy sends forwarded headers beside it.

Spec: https://www.rfc-editor.org/rfc/rfc7239; ``X-Forwarded-`` headers have none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from fhir_server.rest.peers import Trusted

_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"([A-Za-z0-9.\-_]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~\-]{1,100}){0,20}/?")
_PAIR: Final = re.compile(r"""[ \t]*([A-Za-z0-9!#$%&'*+\-.^_`|~]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)[ \t]*(;|,|$)""")
_EMPTY: Final = re.compile(r"[ \t]*(;|,|$)")
_X: Final = ("x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix")
_READ: Final = frozenset(name.encode() for name in ("host", "forwarded", *_X))


@dataclass(frozen=True, slots=True)
class Told:
    """What a proxy says of the URL that its client has used; None: nothing."""

    scheme: str | None = None
    host: str | None = None
    """In lower case, an IPv6 address in brackets."""
    port: int | None = None
    prefix: str | None = None
    """The path that the proxy has cut off, without a slash at its end."""


class ByForwarded:
    """Passes each request to the application that writes the base URL which the request was sent to."""

    def __init__(
        self,
        app: ASGIApp,
        under: Callable[[str], ASGIApp],
        *,
        trusted: Iterable[str],
        bases: Sequence[str],
        own_path: str | None,
    ) -> None:
        """``app`` writes the first of ``bases``, ``under`` gives the application that writes another one.

        ``own_path`` is the base path on our own listener, if base URLs may be made of what a proxy says; None: only
        those of ``bases`` are written.
        """
        self._app = app
        self._under = under
        self._trusted = Trusted(trusted)
        self._bases = bases
        self._own_path = own_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        base = self._base(scope)
        app = self._app if base is None or base == self._bases[0] else self._under(base)
        await app(scope, receive, send)

    def _base(self, scope: Scope) -> str | None:
        """Return the base URL to be written, or None where nothing that counts was said."""
        if scope["type"] != "http" or not self._trusted.has_sent(scope):
            return None
        said = told(_headers(scope))
        if said is None:
            return None
        if self._own_path is None:
            return chosen(self._bases, said)
        return made(replace(said, scheme=said.scheme or scope["scheme"]), self._own_path)


def told(headers: Mapping[str, str]) -> Told | None:
    """Return what the forwarded headers say, None if there are none that can be used.

    A proxy passes on the kind of header that it does not know: where ``Forwarded`` and ``X-Forwarded-`` contradict each
    other, a client may have written one of them, and neither counts.
    """
    try:
        ours, theirs = _x_forwarded(headers), _forwarded(headers.get("forwarded", ""))
    except ValueError:
        return None
    if ours is None or theirs is None:
        said = ours or theirs
    elif all(one is None or other is None or one == other for one, other in _facts(ours, theirs)):
        said = Told(
            ours.scheme or theirs.scheme, ours.host or theirs.host, ours.port or theirs.port, prefix=ours.prefix
        )
    else:
        return None
    if said is not None and said.host is None:
        try:
            host, port = _host(headers.get("host", ""))
        except ValueError:
            return None
        return replace(said, host=host, port=said.port or port)
    return said


def chosen(bases: Sequence[str], said: Told) -> str | None:
    """Return the configured base URL that a client has used, or None if it is none of them."""
    fitting = [base for base in bases if _fits(base, said)]
    below = (base for base in fitting if (urlsplit(base).path + "/").startswith(f"{said.prefix}/"))
    return next(below if said.prefix else iter(fitting), next(iter(fitting), None))


def made(said: Told, path: str) -> str | None:
    """Return the base URL that a proxy tells: ``path`` is the base path as the proxy asks for it."""
    if said.host is None or said.scheme is None:
        return None
    port = "" if said.port in {None, _PORTS[said.scheme]} else f":{said.port}"
    return f"{said.scheme}://{said.host}{port}{said.prefix or ''}{path}"


def _fits(base: str, said: Told) -> bool:
    parts = urlsplit(base)
    default = _PORTS[said.scheme or parts.scheme]
    return (
        said.scheme in {None, parts.scheme}
        and said.host == _bracketed(parts.hostname or "")
        and (said.port or default) == (parts.port or _PORTS[parts.scheme])
    )


def _facts(ours: Told, theirs: Told) -> Iterable[tuple[object, object]]:
    return (ours.scheme, theirs.scheme), (ours.host, theirs.host), (ours.port, theirs.port)


def _x_forwarded(headers: Mapping[str, str]) -> Told | None:
    """Return what ``X-Forwarded-`` headers say. Of several values the last is the trusted proxy's own.

    Raises ``ValueError`` for what cannot be part of a URL.
    """
    given = {name: headers[name].rpartition(",")[2].strip() for name in _X if headers.get(name, "").strip()}
    if not given:
        return None
    host, port = _host(given["x-forwarded-host"]) if "x-forwarded-host" in given else (None, None)
    prefix = given.get("x-forwarded-prefix", "")
    if not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/")):
        raise ValueError
    return Told(
        _scheme(given.get("x-forwarded-proto")),
        host,
        port or (_port(given["x-forwarded-port"]) if "x-forwarded-port" in given else None),
        prefix.rstrip("/") or None,
    )


def _forwarded(text: str) -> Told | None:
    """Return what the last element of ``Forwarded`` says. Raises ``ValueError`` where it cannot be read."""
    if not text:
        return None
    pairs: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PAIR.match(text, position)
        end = match or _EMPTY.match(text, position)
        if end is None:
            raise ValueError
        if match is not None:
            pairs[match[1].lower()] = _unquoted(match[2])
        position = end.end()
        if text[position - 1] == "," and position < len(text):
            pairs = {}
    if not pairs.keys() & {"proto", "host"}:
        return None
    host, port = _host(pairs["host"]) if "host" in pairs else (None, None)
    return Told(_scheme(pairs.get("proto")), host, port)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[:1] == '"' else text


def _scheme(text: str | None) -> str | None:
    if text is None:
        return None
    if text.lower() not in _PORTS:
        raise ValueError
    return text.lower()


def _host(text: str) -> tuple[str, int | None]:
    match = _HOST.fullmatch(text)
    if match is None:
        raise ValueError
    return match[1].lower(), None if match[2] is None else _port(match[2])


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65_536):
        raise ValueError
    return int(text)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers that are read here; one that stands several times is one list."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name in _READ:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            found[key] = f"{found[key]},{text}" if key in found else text
    return found
