"""A Bundle as load takes it, entries to be put or a batch or transaction that can be posted again without harm; and
what its answer says of each entry.

Spec: https://hl7.org/fhir/R4/bundle.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

from fhir_server.definitions.structures import Structures
from fhir_server.interactions.writing.links import rewritten
from fhir_server.model.formats import Resource, serialize
from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest, FhirError, Issue, IssueType

_CONTENT: Final = UUID("9d2d3c0f-3d0c-4f4a-8a51-6f1b7d0c1c55")
"""The name space of ids made of content; another one would load everything twice."""

_ENTRY: Final = re.compile(r"Bundle\.entry\[(\d+)\]")
_ANSWERS: Final = frozenset({"batch-response", "transaction-response", "history"})


class Loose(NamedTuple):
    """A resource to be put under ``key``, and where it stands in its file; ``made``: its content gave it its id."""

    place: str
    resource: Resource
    key: Key
    made: bool


class Posted(NamedTuple):
    """One entry to be posted; ``key`` is what it will create, where the server was to choose the id."""

    place: str
    entry: Any
    key: Key | None


def loose(resource: Resource, place: str) -> Loose:
    """Return a resource with the key to put it under. Raises ``BadRequest`` where it cannot have one."""
    type_, id_ = resource.get("resourceType"), resource.get("id")
    if not isinstance(type_, str):
        told = "it is no resource: it has no resourceType"
        raise BadRequest(Issue(IssueType.REQUIRED, told, id="resource-type-missing"))
    if "id" not in resource:
        key = Key(type_, str(uuid5(_CONTENT, sha256(serialize(resource)).hexdigest())))
        return Loose(place, {**resource, "id": key.id}, key, made=True)
    if not isinstance(id_, str):
        raise BadRequest(Issue(IssueType.VALUE, "the id is not a string", (f"{type_}.id",), id="format-id"))
    return Loose(place, resource, Key(type_, id_), made=False)


def unbundled(bundle: Resource, place: str, structures: Structures) -> tuple[list[Loose], list[tuple[str, FhirError]]]:
    """Return the resources of a Bundle that is no request, references among them by fullUrl resolved; and refusals.

    Raises ``BadRequest`` for the answers of a server, which say what was, not what should be.
    """
    type_ = bundle.get("type")
    if type_ in _ANSWERS:
        raise BadRequest(Issue(IssueType.NOT_SUPPORTED, f"a {type_} is not loaded", ("Bundle.type",), id="bundle-type"))
    found: list[Loose] = []
    refused: list[tuple[str, FhirError]] = []
    keys: dict[str, Key] = {}
    for index, entry in enumerate(_entries(bundle)):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict) or _is_outcome(entry):
            continue
        try:
            found.append(loose(resource, f"{place}#entry[{index}]"))
        except BadRequest as error:
            refused.append((f"{place}#entry[{index}]", error))
            continue
        url = entry.get("fullUrl")
        if isinstance(url, str) and url:
            keys[url] = found[-1].key
    if not keys:
        return found, refused

    def target(text: str) -> str | None:
        url, mark, fragment = text.partition("#")
        return f"{keys[url]}{mark}{fragment}" if url in keys else None

    linked = [item._replace(resource=rewritten(item.resource, target, structures)) for item in found]
    return linked, refused


def repeatable(bundle: Resource, place: str) -> list[Posted]:
    """Return the entries of a batch or transaction so that they can be posted twice.

    What the server was to choose an id for is put under an id made of the Bundle's content. Conditional creates stay:
    their criteria find what they made.
    """
    digest = sha256(serialize(bundle)).hexdigest()
    return [
        _repeatable(entry, f"{digest}#{index}", f"{place}#entry[{index}]")
        for index, entry in enumerate(_entries(bundle))
    ]


def _repeatable(entry: Any, name: str, place: str) -> Posted:
    wish = entry.get("request") if isinstance(entry, dict) else None
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if not isinstance(wish, dict) or not isinstance(resource, dict):
        return Posted(place, entry, None)
    type_ = resource.get("resourceType")
    url = wish.get("url")
    if wish.get("method") != "POST" or "ifNoneExist" in wish or not isinstance(url, str) or not isinstance(type_, str):
        return Posted(place, entry, None)
    if url.strip("/") != type_:
        return Posted(place, entry, None)
    key = Key(type_, str(uuid5(_CONTENT, name)))
    request = {**wish, "method": "PUT", "url": str(key)}
    return Posted(place, {**entry, "request": request, "resource": {**resource, "id": key.id}}, key)


def _entries(bundle: Resource) -> list[Any]:
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise BadRequest(Issue(IssueType.STRUCTURE, "Bundle.entry must be an array", ("Bundle.entry",)))
    return entries


def _is_outcome(entry: dict[str, Any]) -> bool:
    search = entry.get("search")
    return isinstance(search, dict) and search.get("mode") == "outcome"


# --- the answer ------------------------------------------------------------------------------------------------------


def by_place(issues: Iterable[Issue], place: str, entries: Sequence[Posted]) -> dict[str, list[Issue]]:
    """Return the issues of a Bundle by the place of the entry that each is about, or that of the Bundle."""
    found: dict[str, list[Issue]] = {}
    for issue in issues:
        match = _ENTRY.match(issue.expression[0]) if issue.expression else None
        index = int(match[1]) if match else len(entries)
        found.setdefault(entries[index].place if index < len(entries) else place, []).append(issue)
    return found


def writes(entry: Mapping[str, Any]) -> bool:
    """Tell whether an entry is more than a read."""
    return entry["request"]["method"] not in {"GET", "HEAD"}


def issues_of(outcome: Mapping[str, Any], status: int) -> list[Issue]:
    """Return the issues of an entry's own answer."""
    return [
        Issue(
            IssueType(issue["code"]),
            issue.get("diagnostics", ""),
            tuple(issue.get("expression", ())),
            id=issue["details"]["coding"][0]["code"] if "details" in issue else None,
        )
        for issue in outcome.get("issue", [])
    ] or [Issue(IssueType.PROCESSING, f"refused with status {status}")]
