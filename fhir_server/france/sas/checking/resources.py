"""Each resource of an answer against the hard rules of its profile in the guide.

Source: https://interop.esante.gouv.fr/ig/fhir/sas/artifacts.html (StructureDefinitions)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from fhir_server.france import vocabulary
from fhir_server.france.identifiers import IDNPS_SYSTEM, IDNST_SYSTEM
from fhir_server.france.sas import profiles
from fhir_server.france.sas.base import Version
from fhir_server.france.sas.checking.asked import SOS, Flow
from fhir_server.france.sas.checking.contents import services
from fhir_server.france.sas.checking.looking import empties, name_in, name_of, objects, text, texts, without_empties
from fhir_server.france.sas.checking.verdict import Verdict
from fhir_server.france.sas.slots import INSTANT
from fhir_server.outcome import Issue

Json: TypeAlias = dict[str, Any]
Validate: TypeAlias = Callable[[Any], list[Issue]]
"""What is wrong with a resource as R4 has it."""

_URL: Final = re.compile(r"https?://\S+")
_PROFESSIONAL: Final = re.compile(r"8\d{11}|0[0-9AB]{9}")
_STRUCTURE: Final = re.compile(r"0[0-9AB]{9}\d\d|1(?:\d\d|2[AB])\d{7}|3\d{14}|4\d{13,14}")
_FINESS: Final = re.compile(r"1(?:\d\d|2[AB])\d{7}")
_SIRET: Final = re.compile(r"3\d{14}")

_IDNPS: Final = (vocabulary.IDENTIFIER_TYPES_OLD, "IDNPS")
_PLACE: Final = (vocabulary.PLACE_IDENTIFIER_TYPES_OLD, "INTRN")
_REASON: Final = "v2-0276"
_MODES: Final = frozenset({"AMB", "HH", "VR"})
_LABELS: Final = frozenset({"PUBLIC", "SNP", "PRO", "CPTS"})
_SOS_LABELS: Final = frozenset({"PUBLIC", "SNP"})


def check_resource(resource: Json, flow: Flow, version: Version, validate: Validate) -> Iterator[Verdict]:
    """Judge one resource of an answer of a flow, served after a version of the guide."""
    name, type_ = name_of(resource), text(resource, "resourceType")
    empty = list(empties(resource))
    yield Verdict("no-empty", not empty, name, ", ".join(empty[:3]))
    wrong = [issue for issue in validate(without_empties(resource)) if issue.is_error]
    yield Verdict("r4", not wrong, name, "; ".join(f"{' '.join(one.expression)} ({one.id})" for one in wrong[:3]))
    yield from _profile(resource, name, flow)
    for point in objects(resource, "telecom"):
        is_whole = bool(text(point, "system") and text(point, "value"))
        yield Verdict("telecom", is_whole, f"{name} telecom")
    check = _CHECKS.get(type_)
    if check is not None:
        yield from check(resource, name, flow, version)


def _profile(resource: Json, name: str, flow: Flow) -> Iterator[Verdict]:
    wanted = flow.profiles.get(text(resource, "resourceType"))
    if wanted is None:
        return
    claimed = texts(resource, "meta", "profile")
    yield Verdict("sole-profile", len(claimed) == 1, f"{name} meta.profile", f"{len(claimed)}")
    if len(claimed) == 1:
        if profiles.CPTS_SLOT in wanted:
            wanted = frozenset({profiles.CPTS_SLOT if services(resource) else profiles.PLAIN_SLOT})
        yield Verdict("flow-profile", claimed[0] in wanted, f"{name} meta.profile", claimed[0])


def _slot(slot: Json, name: str, flow: Flow, _version: Version) -> Iterator[Verdict]:
    for element in ("start", "end"):
        value = text(slot, element)
        yield Verdict("instants", bool(INSTANT.fullmatch(value)), f"{name} {element}", value or "none")
    labels, known = objects(slot, "meta", "security"), _SOS_LABELS if flow is SOS else _LABELS
    codes = [text(label, "code") for label in labels]
    is_labelled = bool(labels) and all(
        code in known and "TRE_R314-TypeCreneau" in text(label, "system")
        for code, label in zip(codes, labels, strict=True)
    )
    yield Verdict("slot-labels", is_labelled, f"{name} meta.security", ", ".join(codes) or "none")
    modes = [
        text(one, "code")
        for one in objects(slot, "serviceType", "coding")
        if text(one, "system") == vocabulary.ACT_CODE
    ]
    for mode in modes:
        yield Verdict("slot-mode", mode in _MODES, f"{name} serviceType", mode or "none")
    yield from _visibility(slot, name)
    for coding in objects(slot, "appointmentType", "coding"):
        if _REASON in text(coding, "system"):
            code = text(coding, "code")
            yield Verdict("slot-booking", code in {"ROUTINE", "WALKIN"}, f"{name} appointmentType", code or "none")
    for coding in objects(slot, "specialty", "coding"):
        system = text(coding, "system")
        yield Verdict("slot-specialty", "TRE_R38" in system, f"{name} specialty", system or "none")
    if comment := text(slot, "comment").strip():
        yield Verdict("slot-link", bool(_URL.fullmatch(comment)), f"{name} comment", "no URL")


def _visibility(slot: Json, name: str) -> Iterator[Verdict]:
    for service in objects(slot, "serviceType"):
        is_cpts = any(
            text(coding, "code") == profiles.CPTS_CATEGORY and "TRE_R66" in text(coding, "system")
            for coding in objects(service, "coding")
        )
        named = services({"serviceType": [service]})
        if is_cpts or named:
            is_one = is_cpts and len(named) == 1 and name_in(named[0]).startswith("HealthcareService/")
            yield Verdict("slot-visibility", is_one, f"{name} serviceType", f"{len(named)} extensions")


def _schedule(schedule: Json, name: str, flow: Flow, _version: Version) -> Iterator[Verdict]:
    kinds = sorted(name_in(actor).partition("/")[0] for actor in texts(schedule, "actor", "reference"))
    if flow is SOS:
        yield Verdict("schedule-place", kinds == ["Location"], f"{name} actor", ", ".join(kinds))
    else:
        are_both = {"Practitioner", "PractitionerRole"} <= set(kinds)
        yield Verdict("schedule-actors", are_both, f"{name} actor", ", ".join(kinds))


def _practitioner(one: Json, name: str, _flow: Flow, _version: Version) -> Iterator[Verdict]:
    numbers = [number for number in objects(one, "identifier") if text(number, "system") == IDNPS_SYSTEM]
    is_prefixed = bool(numbers) and all(_PROFESSIONAL.fullmatch(text(number, "value")) for number in numbers)
    lengths = ", ".join(f"{len(text(number, 'value'))} characters" for number in numbers)
    yield Verdict("practitioner-number", is_prefixed, f"{name} identifier", lengths or "none of this system")
    for number in numbers:
        yield _typed("practitioner-number-type", number, _IDNPS, name)


def _role(role: Json, name: str, _flow: Flow, _version: Version) -> Iterator[Verdict]:
    practitioner = text(role, "practitioner", "reference")
    yield Verdict("role-practitioner", bool(practitioner), f"{name} practitioner", practitioner or "none")
    inside = {
        f"#{text(one, 'id')}": one for one in objects(role, "contained") if text(one, "resourceType") == "Location"
    }
    places = texts(role, "location", "reference")
    is_one = len(places) == 1 and places[0] in inside
    yield Verdict("role-place", is_one, f"{name} location", f"{len(places)} places, {len(inside)} contained")
    for place, one in inside.items():
        profile = texts(one, "meta", "profile")
        if profile:  # the guide's own examples leave it out
            yield Verdict(
                "role-place-profile", profile == [profiles.LOCATION], f"{name} {place} meta.profile", profile[0]
            )
        yield _address(one, f"{name} {place} address", lines=1)
    numbers = objects(role, "organization", "identifier")
    is_prefixed = len(numbers) == 1 and bool(_STRUCTURE.fullmatch(text(numbers[0], "value")))
    is_national = is_prefixed and text(numbers[0], "system") == IDNST_SYSTEM
    yield Verdict("role-structure", is_national, f"{name} organization.identifier", f"{len(numbers)} identifiers")


def _service(service: Json, name: str, _flow: Flow, _version: Version) -> Iterator[Verdict]:
    provider = text(service, "providedBy", "reference")
    yield Verdict("service-provider", bool(provider), f"{name} providedBy", provider or "none")


def _organization(one: Json, name: str, flow: Flow, version: Version) -> Iterator[Verdict]:
    numbers = objects(one, "identifier")
    pattern, rule = (_SIRET, "organization-siret") if flow is SOS else (_FINESS, "organization-finess")
    is_one = len(numbers) == 1 and text(numbers[0], "system") == IDNST_SYSTEM
    is_right = is_one and bool(pattern.fullmatch(text(numbers[0], "value")))
    yield Verdict(rule, is_right, f"{name} identifier", f"{len(numbers)} identifiers")
    if is_one:
        is_new = flow is not SOS and version is Version.V1_2
        system = vocabulary.IDENTIFIER_TYPES if is_new else vocabulary.PLACE_IDENTIFIER_TYPES_OLD
        yield _typed("organization-number-type", numbers[0], (system, "IDNST"), name)


def _location(one: Json, name: str, _flow: Flow, _version: Version) -> Iterator[Verdict]:
    yield Verdict("location-name", bool(text(one, "name")), f"{name} name")
    yield _address(one, f"{name} address")
    owner = text(one, "managingOrganization", "reference")
    yield Verdict("location-organization", bool(owner), f"{name} managingOrganization", owner or "none")
    for number in objects(one, "identifier"):
        yield _typed("location-number-type", number, _PLACE, name)


_CHECKS: Final[Mapping[str, Callable[[Json, str, Flow, Version], Iterator[Verdict]]]] = {
    "Slot": _slot,
    "Schedule": _schedule,
    "Practitioner": _practitioner,
    "PractitionerRole": _role,
    "HealthcareService": _service,
    "Organization": _organization,
    "Location": _location,
}


def _typed(rule: str, number: Json, wanted: tuple[str, str], name: str) -> Verdict:
    codings = [(text(one, "system"), text(one, "code")) for one in objects(number, "type", "coding")]
    told = ", ".join("#".join(one) for one in codings)
    return Verdict(rule, codings == [wanted], f"{name} identifier.type", told or "none")


def _address(place: Json, where: str, lines: int | None = None) -> Verdict:
    addresses = objects(place, "address")
    missing = [part for part in ("line", "city", "postalCode") if not text(addresses, part)]
    found = len(texts(addresses, "line"))
    if not missing and lines is not None and found != lines:
        missing.append(f"{found} lines")
    return Verdict("address", len(addresses) == 1 and not missing, where, ", ".join(missing) or f"{len(addresses)}")
