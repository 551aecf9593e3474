"""The roster: everything of the demonstration but the slots, as transaction Bundles in an order that holds.

A Bundle refers to itself and to the Bundles before it, never further.
Spec: https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from fhir_server.france.demo.agenda import session_schedules
from fhir_server.france.demo.facts import every_cpts
from fhir_server.france.demo.people import people
from fhir_server.france.demo.sos import association
from fhir_server.france.demo.structures import networks, population, shared_structures, structures
from fhir_server.france.demo.teams import patients, teams
from fhir_server.france.vocabulary import Json

BUNDLE_SIZE = 200
"""Entries of one Bundle: a commit stays small, and a progress bar has something to show."""


@dataclass(frozen=True, slots=True)
class Part:
    """Resources that are loaded together. ``marker`` is the last of them: where it can be read, all were loaded.

    Every entry is a PUT with an id of its own: loading twice gives the same resources, and undoes what was
    changed in between. So load a part only where its marker cannot be read.
    """

    marker: str
    resources: Callable[[], Iterator[Json]]

    def bundles(self) -> Iterator[Json]:
        """Yield the transactions that create the resources."""
        left = self.resources()
        while chunk := list(islice(left, BUNDLE_SIZE)):
            yield {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(resource) for resource in chunk]}


def roster_bundles() -> Iterator[Json]:
    """Yield the transactions of all parts: structures, people, teams, agendas, patients and requests."""
    return chain.from_iterable(part.bundles() for part in ROSTER)


def _of_cpts() -> Iterator[Json]:
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


ROSTER: Final = (
    Part("Group/capacites-besancon-population", _of_cpts),
    Part("Schedule/sos-medecins-fictif-montbeliard", association),
)
"""The CPTS, and SOS Médecins: a store that has the one from before gets the other."""
