"""The platform as a client sees it: two requests, and what an answer, or none, means for what is to be sent next.

Source: https://interop.esante.gouv.fr/ig/fhir/sas/ (INT_R03); https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
"""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from pathlib import Path
from typing import Final

import httpx

from fhir_server.france.vocabulary import Json
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.model.formats import parse
from fhir_server.outcome import BadRequest

SECONDS: Final = 60.0
"""One request, answer included, however slowly bytes come."""

_TIMES: Final = httpx.Timeout(30.0, connect=10.0)
_READ: Final = 64_000
"""So many bytes of a refusal are read: enough for its issues."""

_SHOWN: Final = 5
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9.\[\]()\-]{0,99}")
_LATER: Final = frozenset({408, 425, 429})
_EVERYBODY: Final = frozenset({429, 502, 503, 504})
"""Statuses that are not about the one appointment."""


class Fate(Enum):
    """What became of a request."""

    DONE = auto()
    EXISTS = auto()
    """A create, and the identifier is there already."""
    REFUSED = auto()
    LATER = auto()
    """No answer, or one that says to come back: perhaps it was done."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request, and why, without a word of what was sent. ``wait``: seconds that the platform asks for.
    ``is_about_all``: another appointment would fare no better."""

    fate: Fate
    reason: str = ""
    wait: float = 0.0
    is_about_all: bool = False


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM: our certificate with its key, and the authorities that the platform's must come from (None: those
    of the system). ``password`` opens the key."""

    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    password: str | None = None

    def context(self) -> ssl.SSLContext:
        """Return what connections are made with. Raises ``CommandFailed`` for a file that cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.authorities)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key, lambda: self.password or "")
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            told = f"The certificate, its key or the file of authorities cannot be used: {reason}."
            raise CommandFailed(told) from None
        return context


class Platform:
    """One platform, by the base URL that INT_R03 is sent to."""

    def __init__(self, to: str, tls: Tls, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """``transport`` replaces the network."""
        self._to = to.rstrip("/")
        headers = {"Accept": "application/fhir+json", "Content-Type": "application/fhir+json"}
        headers |= {"Prefer": "return=minimal"}
        verify: ssl.SSLContext | bool = tls.context() if to.startswith("https:") else True
        self._http = httpx.AsyncClient(
            verify=verify, timeout=_TIMES, headers=headers, follow_redirects=False, transport=transport
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def create(self, body: bytes) -> Outcome:
        """POST an appointment."""
        outcome = await self._asked("POST", "", body)
        is_there = outcome.fate is Fate.REFUSED and outcome.reason.startswith("409")
        return Outcome(Fate.EXISTS) if is_there else outcome

    async def update(self, body: bytes) -> Outcome:
        """PUT an appointment by its identifier."""
        identifier = parse(body)["identifier"][0]
        value = f"{_escaped(identifier['system'])}|{_escaped(identifier['value'])}"
        return await self._asked("PUT", f"?{httpx.QueryParams({'identifier': value})}", body)

    async def _asked(self, method: str, query: str, body: bytes) -> Outcome:
        try:
            async with (
                asyncio.timeout(SECONDS),
                self._http.stream(method, f"{self._to}/Appointment{query}", content=body) as answer,
            ):
                return await _outcome(answer)
        except httpx.TransportError as error:
            return Outcome(Fate.LATER, f"no answer ({_cause(error)})", is_about_all=True)
        except TimeoutError:
            return Outcome(Fate.LATER, f"no whole answer within {SECONDS:.0f} s", is_about_all=True)


async def _outcome(answer: httpx.Response) -> Outcome:
    status = answer.status_code
    if answer.is_success:
        return Outcome(Fate.DONE)
    if status in _LATER or status >= 500:
        wait = _seconds(answer.headers.get("Retry-After", ""))
        return Outcome(Fate.LATER, str(status), wait, status in _EVERYBODY)
    if answer.is_redirect:
        return Outcome(Fate.REFUSED, f"{status}, and redirects are not followed")
    return Outcome(Fate.REFUSED, f"{status}{await _issues(answer)}")


async def _issues(answer: httpx.Response) -> str:
    """Return the codes and places of the issues of a refusal; its texts may quote what was sent."""
    read = b""
    async for part in answer.aiter_bytes():
        read += part
        if len(read) > _READ:
            return ""
    try:
        told = [_issue(one) for one in parse(read)["issue"][:_SHOWN]]
    except (BadRequest, KeyError, TypeError, AttributeError):
        return ""
    return f" ({', '.join(told)})" if told else ""


def _issue(issue: Json) -> str:
    where = [_plain(one) for one in issue.get("expression", ())[:_SHOWN]]
    return _plain(issue["code"]) + (f" at {' '.join(where)}" if where else "")


def _plain(text: object) -> str:
    """Return a code or a path; anything else in its place is not repeated."""
    return str(text) if _PLAIN.fullmatch(str(text)) else "…"


def _cause(error: BaseException) -> str:
    """Return the name of what went wrong with a connection, and for TLS what it says."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, ssl.SSLError):
        inner = inner.__cause__ or inner.__context__
    named = type(error).__name__
    return (
        f"{named}: {inner.reason or inner.verify_message}" if isinstance(inner, ssl.SSLCertVerificationError) else named
    )


def _seconds(text: str) -> float:
    """Return how long ``Retry-After`` asks to wait; 0 where it does not say."""
    if text.strip().isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _escaped(text: str) -> str:
    """https://hl7.org/fhir/R4/search.html#escaping"""
    for one in "\\,$|":
        text = text.replace(one, f"\\{one}")
    return text
