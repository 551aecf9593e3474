"""The slow, obvious search: decides matches on the resources themselves, straight from the specification's words.

Knows nothing of index entries or queries; shares with the server only the reading of one date. Parameters are the
few of ``PARAMETERS``, as plain paths. Spec: https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from fhir_server.model.primitives import interval
from tests.search.oracle_values import (
    chord,
    codings,
    ends,
    fold,
    is_near,
    number,
    quantity,
    string,
    texts,
    token,
    unescape,
    uri,
)

Resource = dict[str, Any]

PARAMETERS: dict[str, dict[str, tuple[str, str]]] = {
    "Slot": {
        "schedule": ("reference", "schedule"),
        "status": ("token", "status"),
        "start": ("date", "start"),
        "end": ("date", "end"),
        "service-type": ("token", "serviceType"),
        "specialty": ("token", "specialty"),
        "identifier": ("token", "identifier"),
    },
    "Schedule": {
        "actor": ("reference", "actor"),
        "active": ("token", "active"),
        "date": ("date", "planningHorizon"),
        "identifier": ("token", "identifier"),
        "specialty": ("token", "specialty"),
    },
    "Practitioner": {
        "identifier": ("token", "identifier"),
        "name": ("string", "name"),
        "family": ("string", "name.family"),
        "given": ("string", "name.given"),
        "active": ("token", "active"),
        "gender": ("token", "gender"),
        "telecom": ("token", "telecom"),
        "address-city": ("string", "address.city"),
    },
    "PractitionerRole": {
        "practitioner": ("reference", "practitioner"),
        "organization": ("reference", "organization"),
        "specialty": ("token", "specialty"),
        "active": ("token", "active"),
        "date": ("date", "period"),
    },
    "Organization": {
        "name": ("string", "name|alias"),
        "identifier": ("token", "identifier"),
        "partof": ("reference", "partOf"),
        "type": ("token", "type"),
    },
    "Location": {
        "name": ("string", "name|alias"),
        "near": ("special", "position"),
        "status": ("token", "status"),
        "organization": ("reference", "managingOrganization"),
    },
    "Observation": {
        "value-quantity": ("quantity", "valueQuantity"),
        "performer": ("reference", "performer"),
        "status": ("token", "status"),
    },
    "RiskAssessment": {
        "probability": ("number", "prediction.probabilityDecimal|prediction.probabilityRange"),
        "performer": ("reference", "performer"),
    },
    "Task": {
        "authored-on": ("date", "authoredOn"),
        "status": ("token", "status"),
        "code": ("token", "code"),
        "owner": ("reference", "owner"),
    },
}
COMMON = {
    "_tag": ("token", "meta.tag"),
    "_security": ("token", "meta.security"),
    "_profile": ("uri", "meta.profile"),
    "_source": ("uri", "meta.source"),
    "_lastUpdated": ("date", "meta.lastUpdated"),
}
COMPARTMENT: dict[str, tuple[str, ...]] = {
    "Schedule": ("actor",),
    "PractitionerRole": ("practitioner",),
    "Observation": ("performer",),
    "RiskAssessment": ("performer",),
}
"""By which references a type is in a practitioner's compartment; Practitioner by its id. Tasks, slots, places are in
none. Spec: https://hl7.org/fhir/R4/compartmentdefinition-practitioner.html"""
IMPLIED = {
    ("Slot", "status"): "http://hl7.org/fhir/slotstatus",
    ("Practitioner", "gender"): "http://hl7.org/fhir/administrative-gender",
    ("Location", "status"): "http://hl7.org/fhir/location-status",
    ("Task", "status"): "http://hl7.org/fhir/task-status",
    ("Observation", "status"): "http://hl7.org/fhir/observation-status",
}
REVERSE = ("_revinclude", "_revinclude:iterate")
INCLUDES = ("_include", "_include:iterate", *REVERSE)
INSTANTS = {("Slot", "start"), ("Slot", "end")}
"""Elements of type instant: points in time, whatever the digits written."""


@dataclass
class Oracle:
    """Searches a list of resources, in their order of creation. ``targets``: (type, code) → types of a reference."""

    resources: list[Resource]
    targets: dict[tuple[str, str], list[str]]
    base: str
    zone: tzinfo
    now: int
    is_near: str = ""
    """The place that distances are measured from."""

    def search(self, type_: str, pairs: Sequence[tuple[str, str]], whose: str | None = None) -> list[Resource]:
        """Return the matches, sorted by ``_sort`` if it stands among the pairs, else in order of creation. ``whose``:
        those of one practitioner's compartment."""
        criteria = [pair for pair in pairs if pair[0] not in ("_sort", *INCLUDES)]
        found = [
            resource
            for resource in self.resources
            if resource["resourceType"] == type_
            and (whose is None or self._belongs(resource, whose))
            and all(self.holds(resource, *pair) for pair in criteria)
        ]
        self._near = next((value for name, value in criteria if name == "near"), "")
        for key in reversed([key for name, value in pairs if name == "_sort" for key in value.split(",")]):
            self._sort(found, key)
        return found

    def refuses(self, type_: str, pairs: Sequence[tuple[str, str]]) -> bool:
        """Return whether a value of a search is no reference that a resource can have: it is to another type."""
        return any(self._is_stray(type_, name, value) for name, value in pairs if name not in (*INCLUDES, "_sort"))

    def _is_stray(self, type_: str, name: str, value: str) -> bool:
        if name.startswith("_has:"):
            _, other, _, rest = name.split(":", 3)
            return self._is_stray(other, rest, value)
        head, dot, rest = name.partition(".")
        code, _, modifier = head.partition(":")
        if dot:
            return self._is_stray(modifier, rest, value)
        if code == "_id" or self._kind(type_, code)[0] != "reference" or modifier in ("missing", "identifier"):
            return False
        leads_to = [modifier] if modifier else self.targets[type_, code]
        named = [one.partition("/_history/")[0].split("/") for one in value.split(",")]
        return any(len(parts) > 1 and parts[-2] not in leads_to for parts in named)

    def _belongs(self, resource: Resource, practitioner: str) -> bool:
        type_, whose = resource["resourceType"], f"Practitioner/{practitioner}"
        values = [value for code in COMPARTMENT.get(type_, ()) for value in self._values(resource, code)]
        return whose in (f"{type_}/{resource['id']}", *(self._local(value.get("reference")) for value in values))

    # --- includes: https://hl7.org/fhir/R4/search.html#include

    def riding(self, matches: Sequence[Resource], pairs: Sequence[tuple[str, str]]) -> set[str]:
        """Return ``Type/id`` of what rides along with matches: what the includes lead to from them, and the iterated
        ones from that on, until nothing is new."""
        wanted = [pair for pair in pairs if pair[0].startswith(("_include", "_revinclude"))]
        found = [other for pair in wanted for match in matches for other in self._led(match, *pair)]
        iterated = [pair for pair in wanted if pair[0].endswith(":iterate")]
        while new := [
            other for pair in iterated for one in found for other in self._led(one, *pair) if other not in found
        ]:
            found += new
        return {f"{one['resourceType']}/{one['id']}" for one in found if one not in matches}

    def _led(self, resource: Resource, name: str, value: str) -> Iterator[Resource]:
        """Yield what one include leads to from a resource."""
        type_, _, rest = value.partition(":")
        code, _, target = rest.partition(":")
        for other in self.resources:
            source, led = (other, resource) if name in REVERSE else (resource, other)
            if type_ not in ("*", source["resourceType"]) or target not in ("", led["resourceType"]):
                continue
            known = PARAMETERS[source["resourceType"]]
            codes = [code] if code not in ("", "*") else [one for one, kind in known.items() if kind[0] == "reference"]
            if any(self._refers_to(source, one, led) for one in codes):
                yield other

    # --- criteria

    def holds(  # noqa: PLR0911 a line for each form
        self, resource: Resource, name: str, value: str, container: Resource | None = None
    ) -> bool:
        """Return whether ``name=value`` is true of a resource; ``container`` is the one that it is contained in."""
        if name.startswith("_has:"):
            if container is not None:  # nothing refers to it from outside
                return False
            _, type_, code, rest = name.split(":", 3)
            return any(
                self._refers_to(other, code, resource) and self.holds(other, rest, value)
                for other in self.resources
                if other["resourceType"] == type_
            )
        head, dot, rest = name.partition(".")
        code, _, modifier = head.partition(":")
        if dot:
            targets = [modifier] if modifier else self.targets[resource["resourceType"], code]
            return any(
                self.holds(other, rest, value, within)
                for other, within in self._referred(resource, code, container)
                if other["resourceType"] in targets and _knows(other["resourceType"], rest)
            )
        if container is not None and code in ("_id", "_lastUpdated"):
            return False  # it has none of its own
        values = self._values(resource, code)
        if modifier == "missing":
            return (not values) == (value == "true")
        wanted = [unescape(one) for one in re.split(r"(?<!\\),", value)]
        if code == "_id":
            return (resource["id"] in wanted) != (modifier == "not")
        if modifier == "not":
            return not any(self._is(resource, code, "", one, want) for one in values for want in wanted)
        return any(self._is(resource, code, modifier, one, want) for one in values for want in wanted)

    def _kind(self, type_: str, code: str) -> tuple[str, str]:
        return {**COMMON, **PARAMETERS[type_]}[code]

    def _values(self, resource: Resource, code: str) -> list[Any]:
        if code == "_id":
            return [resource["id"]]
        _, path = self._kind(resource["resourceType"], code)
        return [value for one in path.split("|") for value in _walk(resource, one.split("."))]

    def _is(  # noqa: PLR0911 a line for each type
        self, resource: Resource, code: str, modifier: str, value: Any, wanted: str
    ) -> bool:
        type_ = resource["resourceType"]
        kind, _ = self._kind(type_, code)
        if kind == "token":
            return token(value, modifier, wanted, IMPLIED.get((type_, code)))
        if kind == "string":
            return string(value, modifier, wanted)
        if kind == "uri":
            return uri(value, modifier, wanted)
        if kind == "date":
            return self._date(type_, code, value, wanted)
        if kind == "reference":
            return self._reference(type_, code, value, modifier, wanted)
        if kind == "number":
            return number(value, wanted)
        if kind == "quantity":
            return quantity(value, wanted)
        return is_near(value, wanted)

    def _referred(
        self, resource: Resource, code: str, container: Resource | None
    ) -> Iterator[tuple[Resource, Resource | None]]:
        """Yield what a resource refers to, contained resources too, each with what it is contained in.

        Spec: https://hl7.org/fhir/R4/search.html#contained
        """
        home = container or resource
        for value in self._values(resource, code):
            for inner in home.get("contained", []):
                if value.get("reference") == f"#{inner['id']}":
                    yield inner, home
        yield from ((other, None) for other in self.resources if self._refers_to(resource, code, other))

    def _refers_to(self, resource: Resource, code: str, target: Resource) -> bool:
        name = f"{target['resourceType']}/{target['id']}"
        return any(self._local(value.get("reference")) == name for value in self._values(resource, code))

    def _local(self, text: str | None) -> str | None:
        """Return Type/id of a reference to this server, whatever version, else the text."""
        if text is None:
            return None
        return re.sub(r"/_history/.*$", "", text.removeprefix(self.base + "/"))

    def _reference(self, type_: str, code: str, value: Any, modifier: str, wanted: str) -> bool:
        if modifier == "identifier":
            return "identifier" in value and token(value["identifier"], "", wanted, None)
        text = value.get("reference")
        if text is None or text.startswith("#"):
            return False
        wanted = wanted.removeprefix(self.base + "/")
        if "/_history/" in wanted:
            return bool(text.removeprefix(self.base + "/") == wanted)
        ours = self._local(text)
        if "/" not in wanted:
            types = [modifier] if modifier else self.targets[type_, code]
            return ours in [f"{one}/{wanted}" for one in types]
        return ours == wanted

    # --- dates: https://hl7.org/fhir/R4/search.html#prefix

    def _range(self, type_: str, code: str, value: Any) -> tuple[float, float]:
        """Return what a stored value covers: [low, high). Microseconds are the least there is."""
        if isinstance(value, dict):
            low = interval(value["start"], self.zone)[0] if "start" in value else -math.inf
            high = interval(value["end"], self.zone)[1] if "end" in value else math.inf
            return low, high
        low, high = interval(value, self.zone)
        return (low, low + 1) if (type_, code) in INSTANTS else (low, high)

    def _date(self, type_: str, code: str, value: Any, wanted: str) -> bool:
        prefix, literal = (wanted[:2], wanted[2:]) if wanted[:1].isalpha() else ("eq", wanted)
        low, high = interval(literal, self.zone)
        start, end = self._range(type_, code, value)
        if prefix == "ap":
            margin = max(low - self.now, self.now - high, 0) // 10
            low, high = low - margin, high + margin
        contains = low <= start and end <= high
        overlaps_above, overlaps_below = end > high, start < low
        overlaps = start < high and end > low
        return {
            "eq": contains,
            "ne": not contains,
            "gt": overlaps_above,
            "lt": overlaps_below,
            "ge": overlaps_above or contains,
            "le": overlaps_below or contains,
            "sa": not overlaps and start >= high,
            "eb": not overlaps and end <= low,
            "ap": overlaps,
        }[prefix]

    # --- order: https://hl7.org/fhir/R4/search.html#sort

    def _sort(self, found: list[Resource], key: str) -> None:
        """Sort in place, stably: the least value of a resource ascending, the greatest descending, missing last."""
        is_descending, code = key.startswith("-"), key.removeprefix("-")
        keyed: list[tuple[Resource, Any]] = []
        for resource in found:
            sortable = list(self._sortable(resource, code, is_descending))
            keyed.append((resource, (max if is_descending else min)(sortable) if sortable else None))
        present = [pair for pair in keyed if pair[1] is not None]
        present.sort(key=lambda pair: pair[1], reverse=is_descending)  # equals keep their order, reversed or not
        found[:] = [pair[0] for pair in present] + [pair[0] for pair in keyed if pair[1] is None]

    def _sortable(self, resource: Resource, code: str, is_descending: bool) -> Iterator[Any]:
        if code == "_id":
            yield resource["id"]
            return
        kind, _ = self._kind(resource["resourceType"], code)
        for value in self._values(resource, code):
            if kind == "string":
                yield from (fold(text) for text in texts(value))
            elif kind == "date":
                yield self._range(resource["resourceType"], code, value)[1 if is_descending else 0]
            elif kind == "token":
                yield from (text for text, _ in codings(value, None) if text)
            elif kind == "uri":
                yield value
            elif kind in ("number", "quantity"):
                yield ends(value)[1 if is_descending else 0]
            elif kind == "special":
                yield chord(value, *self._near.split("|")[:2])


def _knows(type_: str, name: str) -> bool:
    """Return whether a type has the parameter that a chain goes on with."""
    if name.startswith("_"):
        return True
    return re.split("[.:]", name)[0] in PARAMETERS.get(type_, {})


def _walk(value: Any, path: list[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for one in value:
            yield from _walk(one, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _walk(value[path[0]], path[1:])
