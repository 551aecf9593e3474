"""The types that an element may have, and the profiles that its values conform to.

Spec: https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.type
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from fhir_server.definitions.canonical import HL7
from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import Item
from fhir_server.validation.faults import Fault, Found
from fhir_server.validation.profiles.element import Check
from fhir_server.validation.profiles.run import Run
from fhir_server.validation.profiles.snapshot import Node

CORE: Final = HL7 + "StructureDefinition/"
"""The canonical URLs of R4's own types begin so."""

_SYSTEM: Final = "http://hl7.org/fhirpath/"
_BACKBONES: Final = frozenset(("BackboneElement", "Element"))
_HOW_MANY: Final = 3


class Type(NamedTuple):
    """One entry of ``ElementDefinition.type``."""

    code: str
    profiles: tuple[str, ...]
    targets: tuple[str, ...]


def types_of(node: Node) -> list[Type]:
    """Return the types of an element, but for those that only FHIRPath has a name for."""
    found = []
    for type_ in node.types:
        code = type_.get("code")
        if isinstance(code, str) and not code.startswith(_SYSTEM):
            found.append(Type(code, _texts(type_.get("profile")), _texts(type_.get("targetProfile"))))
    return found


def core_type(canonical: str, structures: Structures) -> str | None:
    """Return the type of R4 that a canonical URL names, None if it names a profile."""
    url = canonical.partition("|")[0]
    name = url.removeprefix(CORE)
    return name if name != url and name in structures.types else None


def type_checks(node: Node, structures: Structures, allowed: Iterable[str] | None, told: str) -> list[Check]:
    """Return the checks of an element's types. ``allowed``: those that R4 allows there, None if that is unknown."""
    types = types_of(node)
    codes = {type_.code for type_ in types}
    checks: list[Check] = []
    if codes and not codes & _BACKBONES and (allowed is None or not codes.issuperset(allowed)):
        checks.append(_type_check(sorted(codes), structures, told))
    if any(_profiles(type_, structures) for type_ in types):
        checks.append(_profile_check(types, structures, told))
    return checks


def _type_check(codes: Sequence[str], structures: Structures, told: str) -> Check:
    expected = ", ".join(codes)

    def check(item: Item, run: Run) -> Found:
        if any(structures.is_a(item.type, code) for code in codes):
            return None
        return [Fault("profile-type", f"received {item.type}, expected {expected}{told}")]

    return check


def _profile_check(types: Sequence[Type], structures: Structures, told: str) -> Check:
    """Return the check that a value conforms to one of the profiles of its type."""
    by_code = [(type_.code, _profiles(type_, structures)) for type_ in types]

    def check(item: Item, run: Run) -> Found:
        profiles: list[str] = []
        for code, listed in by_code:
            if structures.is_a(item.type, code):
                if not listed:
                    return None
                profiles.extend(listed)
        return conforms_to_one(item, profiles, run, told) if profiles else None

    return check


def conforms_to_one(item: Item, profiles: Sequence[str], run: Run, told: str) -> Found:
    """Return what is wrong with a value that must conform to one of some profiles, nothing if one is not loaded."""
    results = [run.conforms(item, profile) for profile in profiles]
    if any(faults is None or not any_error(faults) for faults in results):
        return next((faults for faults in results if faults is not None and not any_error(faults)), None)
    if len(results) == 1:
        return results[0]
    listed = ", ".join(profiles[:_HOW_MANY]) + (" …" if len(profiles) > _HOW_MANY else "")
    return [Fault("profile-none", f"conforms to none of {listed}{told}")]


def any_error(faults: Iterable[Fault]) -> bool:
    """Tell whether a fault forbids something."""
    return any(fault.severity == "error" for fault in faults)


def _profiles(type_: Type, structures: Structures) -> list[str]:
    return [profile for profile in type_.profiles if core_type(profile, structures) is None]


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def type_of_profile(canonical: str, run: Run) -> str | None:
    """Return the type that a profile constrains, None (noted) if it is not loaded."""
    core = core_type(canonical, run.structures)
    if core is not None:
        return core
    definition = run.find(canonical)
    type_ = definition.get("type") if definition is not None else None
    if not isinstance(type_, str):
        run.note("profile-not-checked", canonical, f"the profile {canonical} is not loaded")
        return None
    return type_
