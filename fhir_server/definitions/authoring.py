"""The files of a guide as people write them: what each must be, its snapshot, and the form of its text.

A file is ``<type>-<id>.json``; its url is that of type and id under this project's canonical base, unless it is a copy
of a definition that somebody else publishes. Of a profile a person writes the differential; the snapshot follows, and
the version of all definitions is written into each.
Spec: https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fhir_server.definitions.canonical import OURS, VERSION
from fhir_server.definitions.snapshot import snapshot
from fhir_server.definitions.structures import Structures
from fhir_server.model.formats import Resource, serialize

WITHOUT_URL: Final = frozenset(("NamingSystem",))
"""Conformance types that R4 gives no canonical URL."""

_HOST: Final = OURS.split("/")[2]
_SPLIT: Final = re.compile(r"[|#]")
_DEFINED: Final = re.compile(re.escape(OURS) + r"(StructureDefinition|CodeSystem|ValueSet|SearchParameter|ConceptMap)/")


HEAD: Final = (
    *("url", "version", "name", "title", "status", "experimental"),
    *("date", "publisher", "description", "jurisdiction"),
)
"""What each file says of itself, as far as its type has it. https://hl7.org/fhir/R4/conformance-module.html"""


def completed(resource: Resource, structures: Structures) -> Resource:
    """Return a resource with the version of all, and a profile with the snapshot that its differential gives, last.

    Raises ``ProfileError``.
    """
    made = _versioned(resource) if "version" in structures.children(resource["resourceType"]) else resource
    if resource["resourceType"] != "StructureDefinition":
        return made
    rest = {name: value for name, value in made.items() if name != "snapshot"}
    return {**rest, "snapshot": {"element": snapshot(resource, structures)}}


def _versioned(resource: Resource) -> Resource:
    before: Resource = {name: resource[name] for name in ("resourceType", "id", "url") if name in resource}
    return {
        **before,
        "version": VERSION,
        **{name: resource[name] for name in resource if name not in {*before, "version"}},
    }


def unsaid(resource: Resource, structures: Structures) -> list[str]:
    """Return what a file should say of itself and does not."""
    there = structures.children(resource["resourceType"])
    return [name for name in HEAD if name in there and name not in resource]


def text(resource: Resource) -> bytes:
    """Return a resource as a file: to be read by people, each element of a snapshot on a line of its own."""
    made = resource.get("snapshot")
    if made is None:
        return serialize(resource, pretty=True) + b"\n"
    rest = {name: value for name, value in resource.items() if name != "snapshot"}
    lines = b",\n".join(b"      " + serialize(element) for element in made["element"])
    return serialize(rest, pretty=True)[:-2] + b',\n  "snapshot": {\n    "element": [\n' + lines + b"\n    ]\n  }\n}\n"


def faults(files: Mapping[str, Resource]) -> Iterator[str]:
    """Yield what is wrong with the names and canonical URLs of a folder's files, a sentence each."""
    known = {resource["url"] for resource in files.values() if "url" in resource}
    for name, resource in files.items():
        type_, id_ = resource.get("resourceType"), resource.get("id")
        if name != f"{type_}-{id_}.json":
            yield f"{name}: the file of {type_}/{id_} is named {type_}-{id_}.json"
        if type_ not in WITHOUT_URL:
            yield from (f"{name}: {fault}" for fault in _url_faults(resource))
        for url in sorted(set(_urls(resource))):
            plain = _SPLIT.split(url)[0]
            if _HOST in url and not url.startswith(OURS):
                yield f"{name}: {url} is not under the canonical base, {OURS}"
            elif _DEFINED.match(plain) and plain not in known:
                yield f"{name}: {plain} is defined in no file"


def _url_faults(resource: Resource) -> Iterator[str]:
    url, expected = resource.get("url", ""), f"{OURS}{resource['resourceType']}/{resource['id']}"
    if url.startswith(OURS) and url != expected:
        yield f"the url is {url}; expected is {expected}"
    if not url.startswith(OURS) and url.rpartition("/")[2].lower() != resource["id"].lower():
        yield f"the url is {url}: it does not end with the id, as that of a copy does"


def _urls(value: Any) -> Iterable[str]:
    """Yield every string of a resource that begins like a URL."""
    if isinstance(value, str):
        if value.startswith(("http://", "https://")):
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _urls(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _urls(inner)
