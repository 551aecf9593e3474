"""The guide of bookings: what this server demands of slots and appointments beyond R4."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.interactions.guide import Guide
from fhir_server.scheduling.actors import Overlap
from fhir_server.scheduling.booking import Booking
from fhir_server.scheduling.parameters import check_parameters
from fhir_server.scheduling.slots import check_capacity, check_times


def guide(bases: Sequence[str], *, is_parallel: bool = False, overlap: Overlap = Overlap.OFF) -> Guide:
    """Return the guide. ``bases`` are our service base URLs, without a final slash."""
    return Guide(
        "scheduling",
        checks=(check_capacity, check_times, check_parameters),
        rules=(Booking(tuple(bases), is_parallel, overlap),),
    )
