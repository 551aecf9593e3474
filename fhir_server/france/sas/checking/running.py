"""The whole check of one server: which requests are played, in which order, and what is told of them."""

from __future__ import annotations

import random
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from fhir_server.definitions.structures import Structures
from fhir_server.france.identifiers import IDNPS_SYSTEM, IDNST_SYSTEM, add_prefix, fictitious_rpps, forms, wrong_pattern
from fhir_server.france.sas.base import Actor, Version
from fhir_server.france.sas.checking.accounts import Accounts, unused
from fhir_server.france.sas.checking.answer import Answer
from fhir_server.france.sas.checking.asked import INT_R01, INT_R04, SOS, Flow, Window
from fhir_server.france.sas.checking.caller import Caller, NotFhir
from fhir_server.france.sas.checking.report import Report
from fhir_server.france.sas.checking.resources import Validate
from fhir_server.france.sas.checking.searching import MOST, Searches
from fhir_server.france.sas.checking.statement import check_statement
from fhir_server.france.sas.checking.verdict import Verdict
from fhir_server.france.sas.push import Tls
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.validation.validator import Validator

_NOBODY: Final = range(900, 974)
"""Ranks of the fictitious range that the check takes numbers of accounts from."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be checked. ``numbers`` and ``structures`` are prefixed national numbers."""

    base: str
    numbers: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()
    version: Version = Version.V1_2
    is_writing: bool = False
    tls: ssl.SSLContext | None = None
    """For https: with the certificate of the client, if there is one."""
    anonymous: ssl.SSLContext | None = None
    """For https: without it."""

    @classmethod
    def read(cls, base: str, rpps: Sequence[str], sirets: Sequence[str], guide: str, tls: Tls, *, write: bool) -> Wish:
        """Return what texts ask for. Raises ``ValueError`` with what is wrong, for a person to read."""
        try:
            url = urlsplit(base)
            is_url = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0 and base.isascii()
        except ValueError:
            is_url = False
        if not is_url or url.query or url.fragment or url.username is not None or any(one.isspace() for one in base):
            raise ValueError(
                "--base is an http or https URL, like https://sas.example.org/fhir: no user, query or fragment"
            )
        if guide not in set(Version):
            raise ValueError(f"--guide is one of {', '.join(Version)}")
        numbers = tuple(_number("--rpps", IDNPS_SYSTEM, one) for one in rpps)
        structures = tuple(_number("--siret", IDNST_SYSTEM, one) for one in sirets)
        for flag, given in (("--rpps", numbers), ("--siret", structures)):
            if len(given) > MOST:
                raise ValueError(f"{flag}: the platform asks for {MOST} at most; {len(given)} were given")
        wish = cls(base.rstrip("/"), numbers, structures, Version(guide), write)
        if url.scheme == "http":
            return wish
        try:
            return replace(wish, tls=tls.context(), anonymous=Tls(authorities=tls.authorities).context())
        except CommandFailed as error:
            raise ValueError(str(error).rstrip(".")) from None


def _number(flag: str, system: str, text: str) -> str:
    wrong = wrong_pattern(system, forms(system, text)[0][1])
    if wrong is not None:
        raise ValueError(f"{flag}: {wrong}")
    return forms(system, text)[0][1]


async def play(
    wish: Wish, report: Report, *, validate: Validate | None = None, transport: httpx.AsyncBaseTransport | None = None
) -> None:
    """Play the check and tell the report. ``validate``: base R4 by default. Raises ``NotFhir`` where nothing can be
    checked."""
    validate = validate or Validator(Structures.load(), second_opinion=False).validate
    async with Caller(wish.base, wish.tls, transport) as caller:
        metadata = await _metadata(caller)
        report.add("transport", [Verdict("https", wish.tls is not None, "", wish.base.partition(":")[0])])
        if wish.anonymous is not None:
            await _without_certificate(Caller(wish.base, wish.anonymous, transport), report)
        searches = Searches(caller, wish.version, Window.from_now(report.at), validate, report.add)
        actors = [*await _slots(searches, wish, report), *await _sos(searches, wish, report)]
        await searches.outside()
        if wish.is_writing:
            actors.append(Actor.STRUCTURE)
            await _writing(caller, report)
        else:
            report.leave_out("INT_R02", "write")
        report.add("metadata", check_statement(metadata, actors))


async def _metadata(caller: Caller) -> Answer:
    """Return what the server says of itself. Raises ``NotFhir`` for what does not look like a FHIR server at all."""
    answer = await caller.get("metadata")
    if answer.failure:
        raise NotFhir(
            f"Pas de réponse de {caller.base} : {answer.failure}.", f"No answer from {caller.base}: {answer.failure}."
        )
    if 300 <= answer.status < 400:
        raise NotFhir(
            f"{caller.base} redirige ({answer.status}) ; le SAS ne suit pas : donnez l'URL où mène la redirection.",
            f"{caller.base} redirects ({answer.status}); the SAS does not follow: give the URL where it leads.",
        )
    if not answer.type and not (await caller.get("Slot?_count=1")).type:
        raise NotFhir(
            f"{caller.base} n'est pas un serveur FHIR : réponse reçue {answer.told}.",
            f"{caller.base} is no FHIR server: received is {answer.told}.",
        )
    return answer


async def _without_certificate(caller: Caller, report: Report) -> None:
    async with caller:
        answer = await caller.get("metadata")
    report.add("transport", [Verdict("client-certificate", not answer.is_done, "", answer.told)])


async def _slots(searches: Searches, wish: Wish, report: Report) -> Iterable[Actor]:
    """Play INT_R01 and INT_R04."""
    numbers = wish.numbers or await searches.found()
    if not numbers:
        report.leave_out("INT_R01, INT_R04", "rpps")
        return ()
    await searches.for_one(numbers[0])
    await _flow(searches, INT_R01, numbers, report)
    await searches.play(INT_R04, numbers)
    return Actor.PSINDIV, Actor.CPTS


async def _sos(searches: Searches, wish: Wish, report: Report) -> Iterable[Actor]:
    structures = wish.structures or await searches.found_structures()
    if not structures:
        report.leave_out("SOS", "siret")
        return ()
    await _flow(searches, SOS, structures, report)
    return (Actor.SOS,)


async def _flow(searches: Searches, flow: Flow, numbers: tuple[str, ...], report: Report) -> None:
    page = await searches.play(flow, numbers)
    if page is not None:
        if not page.matches:
            report.leave_out(flow.name, "agendas" if flow is SOS else "slots")
        await searches.vary(page)
        await searches.read(page)


async def _writing(caller: Caller, report: Report) -> None:
    """Play INT_R02, and ask for a deletion that nobody may ask for, of what nobody has."""
    ranks = random.sample(_NOBODY, 10)
    candidates = [add_prefix("RPPS", fictitious_rpps(rank)) for rank in ranks]
    criteria = ",".join(f"{IDNPS_SYSTEM}%7C{number}" for number in candidates)
    nationals = unused(await caller.get(f"Practitioner?identifier={criteria}"), candidates)
    if len(nationals) < 2:
        report.leave_out("INT_R02", "numbers")
        return
    accounts = Accounts(caller, lambda: str(uuid4()), nationals)
    try:
        await accounts.play()
    finally:
        report.add("INT_R02", accounts.verdicts)
        report.remaining.extend(accounts.made)
    answer = await caller.send("DELETE", f"Slot/{uuid4()}")
    is_served = answer.status not in {401, 403, 405, 501}
    report.add("DELETE Slot", [Verdict("only-the-sas", not is_served, "DELETE Slot", answer.told)])
