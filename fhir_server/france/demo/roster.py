"""The roster: everything of the demonstration but the slots, as transaction Bundles in an order that holds.

A Bundle refers to itself and to the Bundles before it, never further.
Spec: https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from fhir_server.france.demo.agenda import session_schedules
from fhir_server.france.demo.facts import every_cpts
from fhir_server.france.demo.people import people
from fhir_server.france.demo.structures import networks, population, shared_structures, structures
from fhir_server.france.demo.teams import patients, teams
from fhir_server.france.vocabulary import Json

BUNDLE_SIZE = 200
"""Entries of one Bundle: a commit stays small, and a progress bar has something to show."""

ROSTER_MARKER = "Group/capacites-besancon-population"
"""The last resource of the last Bundle: where it can be read, the whole roster was loaded."""


def roster_bundles() -> Iterator[Json]:
    """Yield the transactions that create the structures, people, teams, agendas, patients and requests.

    Every entry is a PUT with an id of its own: loading twice gives the same resources, and undoes what was
    changed in between. So load only where ``ROSTER_MARKER`` cannot be read.
    """
    resources = _resources()
    while chunk := list(islice(resources, BUNDLE_SIZE)):
        yield {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(resource) for resource in chunk]}


def _resources() -> Iterator[Json]:
    everyone = every_cpts()
    return chain(
        shared_structures(),
        chain.from_iterable(map(structures, everyone)),
        networks(),
        chain.from_iterable(map(people, everyone)),
        chain.from_iterable(map(session_schedules, everyone)),
        chain.from_iterable(map(teams, everyone)),
        chain.from_iterable(map(patients, everyone)),
        map(population, everyone),
    )


def _entry(resource: Json) -> Json:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": url}}
