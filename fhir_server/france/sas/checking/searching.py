"""The searches played: a flow as the platform sends it, and the spellings in which it may come.

Source: https://interop.esante.gouv.fr/ig/fhir/sas/ (INT_R01, INT_R04, SOS), its questions and answers, and the test kit
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from fhir_server.france.identifiers import IDNPS_SYSTEM, IDNST_SYSTEM, add_prefix, fictitious_rpps
from fhir_server.france.sas.base import Version
from fhir_server.france.sas.checking.answer import Answer, check_seconds
from fhir_server.france.sas.checking.asked import INT_R01, SOS, Dates, Flow, Search, Window
from fhir_server.france.sas.checking.caller import Caller
from fhir_server.france.sas.checking.contents import check_contents
from fhir_server.france.sas.checking.looking import name_in, name_of, objects, text, texts
from fhir_server.france.sas.checking.page import Page, check_empty, check_envelope, page_of
from fhir_server.france.sas.checking.resources import Validate, check_resource
from fhir_server.france.sas.checking.verdict import Verdict
from fhir_server.france.vocabulary import PARIS

MOST: Final = 25
"""How many professionals the platform asks for at once."""

_LONG_AGO: Final = Window(datetime(2001, 1, 1, tzinfo=PARIS), datetime(2001, 1, 2, tzinfo=PARIS))

_SOS_NUMBER: Final = re.compile(r"3\d{14}")

Tell: TypeAlias = Callable[[str, Iterable[Verdict]], None]
"""Takes what was played, in a word, and what was found."""


@dataclass(frozen=True, slots=True)
class Searches:
    """Plays searches on one server. ``validate``: see ``resources``."""

    caller: Caller
    version: Version
    window: Window
    validate: Validate
    tell: Tell

    async def found(self) -> tuple[str, ...]:
        """Return the numbers of professionals with free slots, if the server lets one search for all of them."""
        search = Search(INT_R01, self.window, (), more=("_count=1000",))
        page = page_of(await self.caller.get(search.path), search)
        if page is None:
            return ()
        with_slots = {name_in(text(slot, "schedule", "reference")) for slot in page.matches}
        people = {
            name_in(actor)
            for schedule in page.of("Schedule")
            if name_of(schedule) in with_slots
            for actor in texts(schedule, "actor", "reference")
        }
        numbers = (
            text(number, "value")
            for person in page.of("Practitioner")
            if name_of(person) in people
            for number in objects(person, "identifier")
            if text(number, "system") == IDNPS_SYSTEM
        )
        return tuple(dict.fromkeys(one for one in numbers if one.isalnum()))[:MOST]

    async def found_structures(self) -> tuple[str, ...]:
        """Return the numbers of structures of SOS with free slots, if the server lets one search for all of them."""
        without_slots = replace(SOS, before=tuple(one for one in SOS.before if not one.startswith("_revinclude")))
        search = Search(without_slots, self.window, (), more=("_count=1000",))
        page = page_of(await self.caller.get(search.path), search)
        if page is None:
            return ()
        numbers = (
            text(number, "value")
            for structure in page.of("Organization")
            for number in objects(structure, "identifier")
            if text(number, "system") == IDNST_SYSTEM
        )
        return tuple(dict.fromkeys(one for one in numbers if _SOS_NUMBER.fullmatch(one)))[:MOST]

    async def play(self, flow: Flow, numbers: tuple[str, ...]) -> Page | None:
        """Play a flow as the platform does; return the page that answers it."""
        search = Search(flow, self.window, numbers)
        answer = await self.caller.get(search.path)
        self.tell(flow.name, self._judged(answer, search))
        return page_of(answer, search)

    async def for_one(self, number: str) -> None:
        """Ask for one professional, as the test kit does with a clock in its hand."""
        search = Search(INT_R01, self.window, (number,))
        answer = await self.caller.get(search.path)
        self.tell("INT_R01 1", (*self._judged(answer, search), *check_seconds(answer, is_for_one=True)))

    def _judged(self, answer: Answer, search: Search) -> Iterator[Verdict]:
        yield from check_envelope(answer, search, self.caller.base)
        yield from check_seconds(answer, is_for_one=False)
        page = page_of(answer, search)
        if page is not None:
            yield from check_contents(page)
            for resource in page.resources:
                yield from check_resource(resource, search.flow, self.version, self.validate)

    async def vary(self, page: Page) -> None:
        """Ask for the same in each other spelling; the answer has to be that of ``page``."""
        search = page.search
        for rule, other in spellings(search):
            answer = await self.caller.get(other.path)
            found = page_of(answer, other)
            is_same = found is not None and (rule == "zero-offset" or found.names == page.names)
            told = answer.told if found is None else f"{len(found.names)} of {len(page.names)}"
            envelope = () if found is None else check_envelope(answer, other, self.caller.base)
            self.tell(f"{search.flow.name} {rule}", (Verdict(rule, is_same, "", told), *envelope))
        for accept in ("application/fhir+json", "application/json"):
            answer = await self.caller.get(search.path, accept)
            self.tell(f"{search.flow.name} accept", (Verdict("accept", answer.status == 200, accept, answer.told),))
        await self._find_nothing(search)
        bad = replace(search, more=(f"{search.flow.start}=ge2026-13-45",))
        answer = await self.caller.get(bad.path)
        is_told = answer.status in {400, 422} and answer.type == "OperationOutcome"
        self.tell(f"{search.flow.name} bad-request", (Verdict("bad-request", is_told, "", answer.told),))

    async def _find_nothing(self, search: Search) -> None:
        past = replace(search, window=_LONG_AGO)
        answer = await self.caller.get(past.path)
        envelope = () if page_of(answer, past) is None else check_envelope(answer, past, self.caller.base)
        verdicts = (*check_empty(answer, past), *envelope)
        self.tell(f"{search.flow.name} empty-answer", verdicts)
        inverted = replace(search, window=Window(search.window.end, search.window.start - timedelta(days=1)))
        answer = await self.caller.get(inverted.path)
        (verdict,) = check_empty(answer, inverted)
        self.tell(f"{search.flow.name} inverted-window", (verdict._replace(rule="inverted-window"),))

    async def read(self, page: Page) -> None:
        """Read one resource of each type that the actors let one read."""
        for type_ in ("Slot", "Schedule", "Practitioner") if page.search.flow is not SOS else ("Schedule", "Location"):
            for resource in page.of(type_)[:1]:
                name = name_of(resource)
                answer = await self.caller.get(name)
                self.tell(name, (Verdict("read", name_of(answer.json) == name, name, answer.told),))

    async def outside(self) -> None:
        """Ask for what is not part of the SAS: nothing of it may be answered."""
        answer = await self.caller.get("Patient?_count=0")
        self.tell("Patient", (Verdict("only-the-sas", not answer.is_done, "GET Patient", answer.told),))


def spellings(search: Search) -> Iterator[tuple[str, Search]]:
    """Yield the searches that have to be answered like this one, each with its rule."""
    yield "bare-bar", replace(search, bar="|")
    yield "bare-plus", replace(search, plus="+")
    yield "no-offset", replace(search, dates=Dates.NO_OFFSET)
    yield "zero-offset", replace(search, dates=Dates.ZERO)
    yield "count", replace(search, more=("_count=1000",))
    if search.flow is not SOS:
        others = (add_prefix("RPPS", fictitious_rpps(rank)) for rank in range(999, 999 - MOST, -1))
        numbers = dict.fromkeys((*search.numbers, *others))
        yield "twenty-five", replace(search, numbers=tuple(numbers)[:MOST])
