"""Definitions in short, and what is said of resources against them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from fhir_server.definitions.structures import Structures
from fhir_server.model.formats import Resource
from fhir_server.outcome import Issue
from fhir_server.validation.profiles.validator import ProfileValidator

Told: TypeAlias = list[tuple[str | None, str]]

BASE: Final = "http://example.org/fhir/"
VALIDATOR: Final = ProfileValidator(Structures.load())


def profile(name: str, type_: str, *elements: Mapping[str, Any], **more: Any) -> Resource:
    """Return a StructureDefinition with a snapshot of some elements; a path without type stands under the type."""
    listed = [{"id": type_, "path": type_}]
    for element in elements:
        path = f"{type_}.{element['path']}" if element["path"] else type_
        identified = {"id": path + (f":{element['sliceName']}" if "sliceName" in element else "")}
        listed.append({**identified, **element, "path": path})
    if not elements[0]["path"] if elements else False:
        del listed[0]
    return {
        "resourceType": "StructureDefinition",
        "url": BASE + name,
        "type": type_,
        "kind": "resource",
        "derivation": "constraint",
        "baseDefinition": f"http://hl7.org/fhir/StructureDefinition/{type_}",
        "snapshot": {"element": listed},
        **more,
    }


def sparse(name: str, type_: str, *elements: Mapping[str, Any], **more: Any) -> Resource:
    """Return a StructureDefinition without a snapshot."""
    made = profile(name, type_, *elements, **more)
    made["differential"] = made.pop("snapshot")
    return made


class Library(dict[str, Resource]):
    """Conformance resources by canonical URL."""

    def __init__(self, *resources: Resource) -> None:
        super().__init__({one["url"]: one for one in resources})

    def find(self, canonical: str, type: str | None = None) -> Resource | None:
        return self.get(canonical.partition("|")[0])


class Codes:
    """Value sets as sets of codes, whatever their system."""

    def __init__(self, **value_sets: set[str]) -> None:
        self.value_sets = {BASE + name: codes for name, codes in value_sets.items()}

    def contains(self, value_set: str, system: str | None, code: str) -> bool | None:
        codes = self.value_sets.get(value_set.partition("|")[0])
        return None if codes is None else code in codes


COLOURS: Final = Codes(colours={"red", "green"})


def issues(
    resource: Resource,
    *definitions: Resource,
    against: str | None = None,
    codes: Codes = COLOURS,
    validator: ProfileValidator = VALIDATOR,
) -> list[Issue]:
    """Return what is said of a resource against the first of some definitions, or against a named one."""
    name = against or definitions[0]["url"]
    return validator.validate(resource, Library(*definitions), codes, [name])


def told(resource: Resource, *definitions: Resource, **options: Any) -> Told:
    """Return ids and paths of all issues."""
    return [(issue.id, issue.expression[0]) for issue in issues(resource, *definitions, **options)]
