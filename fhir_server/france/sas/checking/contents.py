"""Which resources an answer holds: the slots that were asked for, all that has to ride along, and no other.

Source: https://interop.esante.gouv.fr/ig/fhir/sas/ (the flow pages, and question 12 of its questions and answers)
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from fhir_server.france.identifiers import IDNPS_SYSTEM, forms
from fhir_server.france.sas import profiles
from fhir_server.france.sas.checking.asked import SOS
from fhir_server.france.sas.checking.looking import name_in, name_of, objects, text, texts
from fhir_server.france.sas.checking.page import Page
from fhir_server.france.sas.checking.verdict import Verdict

_PATHS: Final = {
    "Slot": ("schedule", "reference"),
    "Schedule": ("actor", "reference"),
    "HealthcareService": ("providedBy", "reference"),
    "Location": ("managingOrganization", "reference"),
}
"""Where a resource of an answer refers to others of it."""


def check_contents(page: Page) -> Iterator[Verdict]:
    """Judge which resources one answer holds."""
    for slot in page.slots:
        yield from _asked_for(page, slot)
    yield from _complete(page)
    yield from _strangers(page)
    yield from _places(page)
    if page.search.flow is SOS:
        with_slots = {name_in(text(slot, "schedule", "reference")) for slot in page.slots}
        for schedule in page.matches:
            yield Verdict("agenda-without-slot", name_of(schedule) in with_slots, name_of(schedule))


def services(slot: Any) -> list[str]:
    """Return the references to the HealthcareServices of the CPTS that see a slot."""
    extensions = objects(slot, "serviceType", "extension")
    return [
        text(one, "valueReference", "reference") for one in extensions if text(one, "url") == profiles.R5_SERVICE_TYPE
    ]


def _asked_for(page: Page, slot: dict[str, Any]) -> Iterator[Verdict]:
    name, window = name_of(slot), page.search.window
    status, start = text(slot, "status"), text(slot, "start")
    yield Verdict("slot-free", status == "free", f"{name} status", status or "none")
    moment = _moment(start)
    if moment is not None:
        yield Verdict("slot-window", window.start <= moment <= window.end, f"{name} start", start)
    if page.search.flow is SOS:
        return
    schedule = page.by_name.get(name_in(text(slot, "schedule", "reference")))
    people = [page.by_name.get(name_in(actor)) for actor in texts(schedule, "actor", "reference")]
    numbers = {
        forms(IDNPS_SYSTEM, text(one, "value"))[0][1]
        for one in objects(people, "identifier")
        if text(one, "system") == IDNPS_SYSTEM
    }
    if numbers:
        yield Verdict("slot-practitioner", bool(numbers & set(page.search.numbers)), f"{name} schedule")


def _complete(page: Page) -> Iterator[Verdict]:
    for resource in page.resources:
        for reference in _followed(page, resource):
            found = reference in page.by_name
            yield Verdict("includes-complete", found, name_of(resource), "" if found else reference)


def _strangers(page: Page) -> Iterator[Verdict]:
    """Judge what rides along: everything must be reached from the matches, by the references of the flow."""
    reached = set(page.names)
    todo = [page.by_name[name] for name in page.names]
    if page.search.flow is SOS:
        with_agenda = [one for one in page.slots if name_in(text(one, "schedule", "reference")) in reached]
        reached |= {name_of(slot) for slot in with_agenda}
    while todo:
        for reference in _followed(page, todo.pop()):
            found = page.by_name.get(reference)
            if found is not None and name_of(found) not in reached:
                reached.add(name_of(found))
                todo.append(found)
    for resource in page.resources:
        name, type_ = name_of(resource), text(resource, "resourceType")
        if type_ in {"HealthcareService", "Organization"} and type_ not in page.search.flow.profiles:
            yield Verdict("cpts-unasked", False, name)
        elif type_ == "OperationOutcome":
            continue
        else:
            yield Verdict("includes-no-other", name in reached, name)
    if page.search.flow.name == "INT_R01" and page.resources:
        yield Verdict("cpts-unasked", True)


def _followed(page: Page, resource: dict[str, Any]) -> Iterator[str]:
    """Yield ``Type/id`` of what a resource refers to, of the types that the flow asks for."""
    type_ = text(resource, "resourceType")
    references = texts(resource, *_PATHS[type_]) if type_ in _PATHS else []
    for reference in (*references, *(services(resource) if type_ == "Slot" else ())):
        name = name_in(reference)
        kind = name.partition("/")[0]
        if kind in page.search.flow.profiles or reference.startswith("urn:"):
            yield name


def _places(page: Page) -> Iterator[Verdict]:
    """Judge that each place of consultation has a role and an agenda of its own."""
    used: set[str] = set()
    for schedule in page.of("Schedule"):
        actors = [name_in(actor) for actor in texts(schedule, "actor", "reference")]
        roles = [actor for actor in actors if actor.startswith("PractitionerRole/")]
        if roles:
            is_own = len(roles) == 1 and not used & set(roles)
            yield Verdict("place-of-its-own", is_own, f"{name_of(schedule)} actor", f"{len(roles)} roles")
            used |= set(roles)


def _moment(start: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(start)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
