"""The platform's query strings: what is read out of them, and how the ``self`` link says them again.

Source: the search pages of https://interop.esante.gouv.fr/ig/fhir/sas/ and its questions and answers
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import quote

from fhir_server.france.identifier_checks import search_fault
from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.search.criteria import HARMLESS, RESULT_PARAMETERS
from fhir_server.search.values import split, unescape

Pairs: TypeAlias = Sequence[tuple[str, str]]

HAS: Final = "_has:Slot:schedule:"
"""How SOS asks what must hold of the slots of an agenda."""

TYPES: Final = frozenset(
    ("HealthcareService", "Location", "Organization", "Practitioner", "PractitionerRole", "Schedule", "Slot")
)
"""What the platform may learn of: who offers what, where and when; nobody who takes it."""

_UTC: Final = re.compile(r"((?:[a-z]{2})?\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?)[+ ]00:00")
_CAPITAL: Final = re.compile(r"(^|\.)Identifier$")
_KEPT: Final = re.compile(r"%(?:2B|25|26|23|3D|20|0[0-9A-F]|1[0-9A-F]|7F|[89A-F][0-9A-F]|22|3C|3E)", re.IGNORECASE)
_ENCODED: Final = re.compile(r"%[0-9A-Fa-f]{2}")


def spoken(query: str) -> str:
    """Return a query string as the ``self`` link repeats it: decoded, but for what would then mean something else.

    ``%7C`` becomes a bar; ``%2B`` stays, nothing is added, and the order is kept.
    """
    return _ENCODED.sub(lambda code: code[0] if _KEPT.fullmatch(code[0]) else chr(int(code[0][1:], 16)), query)


def written(pairs: Pairs) -> str:
    """Return the pairs of a form as a query string of the ``self`` link."""
    return "&".join(f"{quote(name, safe=':._-')}={quote(value, safe=':/,|._-')}" for name, value in pairs)


def r4_name(name: str) -> str:
    """Return the name of a parameter as R4 spells it: the guide also writes ``Identifier``."""
    return _CAPITAL.sub(r"\1identifier", name)


def in_paris_time(pairs: Pairs) -> list[tuple[str, str]]:
    """Return the pairs with ``+00:00`` taken off instants: what the platform writes there is Paris time."""
    return [(name, _UTC.sub(r"\1", value)) for name, value in pairs]


def check(pairs: Pairs, most: int, spelled: Callable[[str], str]) -> None:
    """Raise ``BadRequest`` for more than ``most`` identifiers at once, for any without a value, and for any that cannot
    be one of its kind. ``spelled`` gives a system its one spelling."""
    issues = [issue for name, value in pairs for issue in _wrong(name, value, most, spelled)]
    if issues:
        raise BadRequest(*issues)


def check_types(pairs: Pairs) -> None:
    """Raise ``BadRequest`` for criteria and includes that name another type than ``TYPES``: they would tell of it."""
    for name, value in pairs:
        text = f"{name}:{value}" if name.partition(":")[0] in {"_include", "_revinclude"} else name
        for part in re.split("[.:]", text):
            if part[:1].isupper() and part not in TYPES:
                told = f"{part} is not part of the SAS; searches here are about {', '.join(sorted(TYPES))}"
                raise BadRequest(Issue(IssueType.NOT_SUPPORTED, told, (f"http.{name}",), id="sas-type"))


def _wrong(name: str, value: str, most: int, spelled: Callable[[str], str]) -> Iterable[Issue]:
    if name.rpartition(".")[2].rpartition(":")[2] != "identifier":
        return
    values = split(value, ",")
    if len(values) > most:
        told = f"{len(values)} identifiers were received; at most {most} are answered at once"
        yield Issue(IssueType.TOO_COSTLY, told, (f"http.{name}",), id="sas-identifiers")
    for place, text in enumerate(values, 1):
        system, bar, number = unescape(text).partition("|")
        if not bar:
            continue
        # R4 would find whoever has any number of the system: all slots for a variable that was empty, and an update
        # of whichever account is the only one.
        fault = search_fault(spelled, system, number) if number else "it has no value; system|value is expected"
        if fault is not None:
            told = f"identifier {place} of {len(values)}, of the system {system}: {fault}"
            yield Issue(IssueType.VALUE, told, (f"http.{name}",), id="sas-identifier-form")


@dataclass(frozen=True, slots=True)
class SlotsOfAgendas:
    """A search for agendas by what holds of their slots, as the guide means it: all of one and the same slot.

    ``pairs`` is the search for these slots, which includes the agendas. ``is_with_slots``: the slots are wanted too.
    """

    pairs: tuple[tuple[str, str], ...]
    is_with_slots: bool


def slots_of_agendas(pairs: Pairs) -> SlotsOfAgendas | None:
    """Return what a search for Schedules asks of their slots; None: nothing. Raises ``BadRequest``."""
    if not any(name.startswith(HAS) for name, _ in pairs):
        return None
    found: list[tuple[str, str]] = [("_include", "Slot:schedule")]
    is_with_slots = False
    for name, value in pairs:
        if name.startswith(HAS):
            found.append((name.removeprefix(HAS), value))
        elif name.startswith("_revinclude") and value in {"Slot:schedule", "Slot:schedule:Schedule"}:
            is_with_slots = True
        elif name == "_include":
            found.append(("_include:iterate", value))
        elif name == "_include:iterate" or name in HARMLESS or name in {"_count", "_total", "_format", "_pretty"}:
            found.append((name, value))
        elif name.partition(":")[0] in {*RESULT_PARAMETERS, "_has", "_revinclude"}:
            told = f"{name} cannot stand beside {HAS}… on this base path"
            raise BadRequest(Issue(IssueType.NOT_SUPPORTED, told, (f"http.{name}",), id="sas-parameter"))
        else:
            found.append((f"schedule:Schedule.{name}", value))
    return SlotsOfAgendas(tuple(found), is_with_slots)
