"""The library: how pure code gets at conformance resources, those in the store and those that come with R4.

Pure code asks ``find`` and goes on without what is not there; whoever runs it (``interactions.library``) sees what was
asked for, reads it, and runs the code again, until nothing new is asked for. So what takes part must have no effect of
its own, and may not remember between two runs that something was missing.

Spec: https://hl7.org/fhir/R4/references.html#canonical
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeVar

from fhir_server.model.formats import Resource

T = TypeVar("T")


class Library(Protocol):
    """Conformance resources by their canonical URL."""

    def find(self, canonical: str, type: str | None = None) -> Resource | None:
        """Return the resource of a canonical URL, with or without ``|version``, of any type or of one; None if there
        is none, or none yet.

        Without a version the best of several is found: active before draft before any other status, then the latest
        version, then what was stored last. What is stored comes before what comes with R4.
        """
        ...


class Loaded(dict[str, Any]):
    """A resource of a library, not to be changed; it keeps what was made of it for as long as it is kept itself."""

    __slots__ = ("made",)

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource)
        self.made: dict[object, Any] = {}


def made_of(resource: Resource, make: Callable[[Resource], T]) -> T:
    """Return what ``make`` makes of a resource and of nothing else: once, if the resource is one of a library."""
    if not isinstance(resource, Loaded):
        return make(resource)
    if make not in resource.made:
        resource.made[make] = make(resource)
    made: T = resource.made[make]
    return made


def all_codes(code_system: Resource, url: str) -> Resource:
    """Return the value set of all codes of a code system, under the URL by which it is known without being written.

    Spec: https://hl7.org/fhir/R4/codesystem-definitions.html#CodeSystem.valueSet
    """
    versioned = {"version": code_system["version"]} if "version" in code_system else {}
    return {
        "resourceType": "ValueSet",
        "url": url,
        **versioned,
        "status": code_system.get("status", "unknown"),
        "compose": {"include": [{"system": code_system["url"], **versioned}]},
    }


def split(canonical: str) -> tuple[str, str | None]:
    """Return the URL and the version of a canonical, None if it has none: ``http://…|1.0`` → ``http://…``, ``1.0``."""
    url, _, version = canonical.partition("|")
    return url, version or None


def best(resources: Iterable[Resource], version: str | None, type: str | None = None) -> Resource | None:
    """Return the one of several resources of one URL that a canonical means; ``find`` tells which."""
    fitting = (
        one
        for one in resources
        if (version is None or one.get("version") == version) and (type is None or one["resourceType"] == type)
    )
    return max(fitting, key=_rank, default=None)


_STATUSES: Final = {"active": 2, "draft": 1}
_NUMBER: Final = re.compile(r"(\d+)")


def _rank(resource: Resource) -> tuple[int, list[tuple[int, str]], str]:
    """Return what orders editions of one resource: numbers inside of versions count as numbers, 1.10 is above 1.9."""
    version = [_part(part) for part in _NUMBER.split(str(resource.get("version", ""))) if part]
    status = _STATUSES.get(str(resource.get("status")), 0)
    return status, [*version, (_END, "")], str(resource.get("meta", {}).get("lastUpdated", ""))


_END: Final = -2


def _part(text: str) -> tuple[int, str]:
    """Return what orders one part of a version; what follows a hyphen comes before the end: 1.0-beta, 1.0, 1.0.1."""
    if text.isdecimal():
        return int(text[:18]), ""
    return (_END - 1 if text.startswith("-") else _END + 1), text
