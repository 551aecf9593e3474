"""Where references may lead: the type and the profile of the target, and how it is included.

A target is looked into where it is at hand: contained, or in the same Bundle. Of others the type is checked.
Spec: https://hl7.org/fhir/R4/references.html, https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.type.targetProfile
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import Item
from fhir_server.fhirpath.types import resolve
from fhir_server.validation.faults import Fault, Found
from fhir_server.validation.profiles.element import Check
from fhir_server.validation.profiles.run import Run
from fhir_server.validation.profiles.snapshot import Node
from fhir_server.validation.profiles.types import conforms_to_one, core_type, type_of_profile, types_of


def target_checks(node: Node, structures: Structures, allowed: frozenset[str], told: str) -> list[Check]:
    """Return the checks of an element's references. ``allowed``: the types that R4 allows there."""
    checks: list[Check] = []
    targets = [target for type_ in types_of(node) if type_.code == "Reference" for target in type_.targets]
    types = {core_type(target, structures) for target in targets}
    if targets and not ("Resource" in types or (None not in types and types >= allowed)):
        checks.append(_target_check(targets, structures, told))
    for type_ in node.types:
        aggregation, versioning = type_.get("aggregation"), type_.get("versioning")
        if type_.get("code") == "Reference" and isinstance(aggregation, list) and aggregation:
            checks.append(_aggregation_check([str(one) for one in aggregation], told))
        if type_.get("code") == "Reference" and versioning in {"independent", "specific"}:
            checks.append(_versioning_check(versioning == "specific", told))
    return checks


def _target_check(targets: Sequence[str], structures: Structures, told: str) -> Check:
    def check(item: Item, run: Run) -> Found:
        if item.type != "Reference":
            return None
        target = resolve(item, run.environment, run.navigator)
        if target is None:
            return None
        types = {profile: type_of_profile(profile, run) for profile in targets}
        fitting = [one for one, type_ in types.items() if type_ is not None and structures.is_a(target.type, type_)]
        if not fitting:
            if None in types.values():
                return None
            expected = ", ".join(sorted({str(type_) for type_ in types.values()}))
            return [Fault("profile-target", f"received a reference to {target.type}, expected {expected}{told}")]
        if not target.value or any(core_type(one, structures) for one in fitting) or None in types.values():
            return None
        return _about_target(conforms_to_one(target, fitting, run, told), fitting, told)

    return check


def _about_target(found: Found, fitting: Sequence[str], told: str) -> Found:
    """Return one fault of the reference: what is wrong with its target is told where that is validated itself."""
    first = next((fault for fault in found or () if fault.severity == "error"), None)
    if first is None:
        return None
    where = "".join(reversed(first.steps)).lstrip(".")
    return [
        Fault("profile-target", f"its target does not conform to {', '.join(fitting)}: {where}: {first.text}{told}")
    ]


def _aggregation_check(allowed: Sequence[str], told: str) -> Check:
    def check(item: Item, run: Run) -> Found:
        text = _literal(item)
        if text is None:
            return None
        if text.startswith("#"):
            how = {"contained"}
        elif run.bundled.resolve(text) is not None:
            how = {"bundled", "referenced"}
        else:
            how = {"referenced"}
        if how.intersection(allowed):
            return None
        expected = ", ".join(sorted(allowed))
        return [Fault("profile-aggregation", f"the target is {' and '.join(sorted(how))}, expected {expected}{told}")]

    return check


def _versioning_check(is_specific: bool, told: str) -> Check:
    def check(item: Item, run: Run) -> Found:
        text = _literal(item)
        if text is None or ("/_history/" in text) == is_specific:
            return None
        expected = "a reference to one version" if is_specific else "a reference to no particular version"
        return [Fault("profile-aggregation", f"expected {expected}{told}")]

    return check


def _literal(item: Item) -> str | None:
    value: Any = item.value
    text = value.get("reference") if isinstance(value, dict) else None
    return text if isinstance(text, str) else None
