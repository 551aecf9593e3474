"""The demonstration: two real CPTS with fictitious members, and a fictitious SOS Médecins, as transaction Bundles.

Load each part of ``ROSTER`` where its marker cannot be read; then, at each start, ``agenda_bundles`` of the days
from today on: those whose ``agenda_marker`` finds nothing, or all of them, since nothing is written twice.
Every resource carries the tag ``DEMO_TAG``. The facts are the JSON files of `mappings/demo/`.
"""

from fhir_server.france.demo.agenda import AGENDA_DAYS, agenda_bundles, agenda_marker
from fhir_server.france.demo.requests import requests_worth_trying
from fhir_server.france.demo.resources import TAG as DEMO_TAG
from fhir_server.france.demo.roster import ROSTER, roster_bundles

__all__ = [
    "AGENDA_DAYS",
    "DEMO_TAG",
    "ROSTER",
    "agenda_bundles",
    "agenda_marker",
    "requests_worth_trying",
    "roster_bundles",
]
