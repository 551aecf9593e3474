"""Who is let in: on which listener a path is served, and to which clients, by the certificates that they show.

A certificate is shown to this server, or to a proxy in front of it that tells its subject in a header. From anybody but
a trusted proxy this header is not looked at; nobody behind this door sees it.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from secrets import token_hex
from typing import Any, Final

from starlette.types import Scope, Send

from fhir_server.model.formats import serialize
from fhir_server.model.media_types import FHIR_JSON
from fhir_server.outcome import Issue, IssueType, operation_outcome
from fhir_server.rest.peers import Trusted
from fhir_server.rest.subjects import Client, Subject, read

_LOG: Final = logging.getLogger(__name__)

_TOLD: Final = {
    "listener": "this path is not served on this listener",
    "absent": "no certificate of the client came with the connection; a listed one is demanded here",
    "unverified": "the certificate of the client was not verified",
    "malformed": "the subject of the certificate cannot be read",
    "wrong-cn": "the certificate has not the CN of a listed client",
    "wrong-ou": "the certificate has not the OU that is listed for its CN",
}
"""What a client is told, for each reason that is logged."""


@dataclass(frozen=True, slots=True)
class Doors:
    """What is where, and who may come in."""

    clients: frozenset[Client] = frozenset()
    """Those on the list at the start; if there are none, nobody is asked for a certificate."""
    is_everywhere: bool = False
    """Whether every path demands a listed client, and not the SAS base paths alone."""
    sas_paths: tuple[str, ...] = ()
    sas_port: int | None = None
    """The port on which the SAS base paths are served, and nothing else; None: everything is on one."""
    open_paths: tuple[str, ...] = ()
    """Served on each listener, and to everybody."""
    header: str = ""
    """The header in which a trusted proxy tells the subject, in lower case; empty: none does."""
    verify_header: str = ""
    """The header in which it tells ``SUCCESS`` for a certificate that it has verified; empty: it tells no other."""


class Door:
    """Refuses requests, and logs each refusal without a name."""

    def __init__(self, doors: Doors, trusted: Trusted, clients: Callable[[], frozenset[Client]] | None = None) -> None:
        """``clients`` gives those who are on the list now, if that may change."""
        self._doors = doors
        self._trusted = trusted
        self._clients = clients or (lambda: doors.clients)
        self._subject = lru_cache(maxsize=256)(_subject)
        self._told = frozenset(name.encode() for name in (doors.header, doors.verify_header) if name)

    async def refuses(self, scope: Scope, send: Send) -> bool:
        """Answer a request that is refused, and return whether it was; from others, take what a proxy tells."""
        headers = self._take(scope)
        why, shown = self._why(scope, headers)
        if not why:
            return False
        request_id = token_hex(16)
        mark = sha256(shown).hexdigest()[:16] if shown else ""
        _LOG.warning("client refused", extra={"request_id": request_id, "reason": why, "certificate": mark})
        issue = Issue(IssueType.FORBIDDEN, f"{why}: {_TOLD[why]}", ("http",), id="client-refused")
        body = serialize({"resourceType": "OperationOutcome", "id": request_id, **operation_outcome([issue])})
        head = [
            (b"x-request-id", request_id.encode()),
            (b"content-type", f"{FHIR_JSON}; charset=utf-8".encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 403, "headers": head})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        return True

    def _take(self, scope: Scope) -> Mapping[str, list[str]]:
        """Return what a trusted proxy tells, and take it out of the request, whoever has sent it."""
        found: dict[str, list[str]] = {}
        if not self._told or self._told.isdisjoint(name for name, _ in scope["headers"]):
            return found
        if self._trusted.has_sent(scope):
            for name, value in scope["headers"]:
                if name in self._told:
                    found.setdefault(name.decode("latin-1"), []).append(value.decode("utf-8", "surrogateescape"))
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in self._told]
        return found

    def _why(self, scope: Scope, headers: Mapping[str, list[str]]) -> tuple[str, bytes]:
        """Return why a request is refused, empty if it is not, and the certificate that its client has shown."""
        doors = self._doors
        path = scope["path"] + "/"
        if _is_below(path, doors.open_paths):
            return "", b""
        is_sas = _is_below(path, doors.sas_paths)
        if doors.sas_port is not None and is_sas != (scope["server"][1] == doors.sas_port):
            return "listener", b""
        if not doors.clients or not (is_sas or doors.is_everywhere):
            return "", b""
        if doors.header and self._trusted.has_sent(scope):
            return self._by_proxy(headers)
        shown: dict[str, Any] = scope.get("extensions", {}).get("tls") or {}
        name = shown.get("client_cert_name")
        if name is None:
            return "absent", b""
        why = self._unlisted(name)
        return why, ssl.PEM_cert_to_DER_cert(shown["client_cert_chain"][0]) if why else b""

    def _by_proxy(self, headers: Mapping[str, list[str]]) -> tuple[str, bytes]:
        """Return why a proxy's client is refused, and the subject that was told; a header that stands twice is none."""
        names = headers.get(self._doors.header, [])
        name = names[0] if len(names) == 1 else ""
        if len(names) > 1:
            return "malformed", b""
        if not name.strip() or name in {"(null)", "-"}:
            return "absent", b""
        if self._doors.verify_header and headers.get(self._doors.verify_header) != ["SUCCESS"]:
            return "unverified", name.encode("utf-8", "surrogateescape")
        return self._unlisted(name), name.encode("utf-8", "surrogateescape")

    def _unlisted(self, name: str) -> str:
        subject = self._subject(name)
        return "malformed" if subject is None else subject.unlisted(self._clients())


def _subject(name: str) -> Subject | None:
    """Return the subject that a text tells, None if it tells none."""
    try:
        return read(name)
    except ValueError:
        return None


def _is_below(path: str, bases: tuple[str, ...]) -> bool:
    return any(path.startswith(f"{base}/") for base in bases)
