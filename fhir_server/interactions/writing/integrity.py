"""Referential integrity: what is written names resources that are there, and what is referred to stays there.

Asked in the plan, at the head of the log: of a reference and the deletion of its target, one is refused whatever their
order. Only literal references to this server count: contained, ``urn:``, foreign and logical ones do not, nor do
canonicals.

Spec: https://hl7.org/fhir/R4/references.html, https://hl7.org/fhir/R4/codesystem-reference-handling-policy.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from fhir_server.definitions.parameters import SearchParameterType
from fhir_server.definitions.registry import Registry
from fhir_server.interactions.context import Context, Integrity
from fhir_server.interactions.tools import Indexes
from fhir_server.model.formats import Resource
from fhir_server.model.reference import Key, Local, local
from fhir_server.outcome import Conflict, FhirError, Issue, IssueType, Severity, Unprocessable
from fhir_server.search.leaves import leaves
from fhir_server.search.query import Equality, IndexEntry
from fhir_server.storage.protocol import Change, Stored, View

REFERENCES: Final = "_references"
"""The derived code under which a resource is found by each of its references, wherever they stand."""

NAMED: Final = 5
"""How many of the referring resources an issue names."""

_VERSION: Final = re.compile("[1-9][0-9]{0,16}")


class Link(NamedTuple):
    """A literal reference to this server; ``path`` is where it stands: ``Slot.schedule.reference``."""

    path: str
    target: Local


class WithReferences:
    """An indexer that finds a resource by all of its references, those without a search parameter too."""

    def __init__(self, indexer: Indexes, bases: Sequence[str]) -> None:
        self._indexer = indexer
        self._bases = bases

    def entries(self, resource: Resource) -> tuple[IndexEntry, ...]:
        """Return what a resource is found by, one entry for each resource that it refers to among them."""
        keys = sorted({link.target.key for link in links(resource, self._bases)})
        return (*self._indexer.entries(resource), *(Equality(REFERENCES, str(key)) for key in keys))


def links(resource: Resource, bases: Sequence[str]) -> tuple[Link, ...]:
    """Return the references of a resource to this server, those in extensions and contained resources included."""
    found = ((path, local(text, bases)) for path, text in _texts(resource, str(resource.get("resourceType"))))
    return tuple(Link(path, target) for path, target in found if target is not None)


async def broken(
    context: Context, view: View, changes: Sequence[Change], linked: Mapping[Key, Sequence[Link]]
) -> dict[Key, list[Issue]]:
    """Return what a commit of these changes would break, by the resource whose change does it.

    ``linked`` are the links of what is written. Under ``warn`` the issues are warnings.
    """
    own = {change.key: change for change in changes}
    issues: dict[Key, list[Issue]] = {}
    severity = Severity.ERROR if context.integrity is Integrity.ENFORCE else Severity.WARNING
    wanted = {link.target.key for key in own for link in linked.get(key, ())} - own.keys()
    current = await view.read(wanted) if wanted else {}
    for change in changes:
        for link in linked.get(change.key, ()) if change.body is not None else ():
            if not await _is_there(link.target, own, current, view):
                told = f"{_name(link.target)} is not there: {_why(link.target, context.registry)}"
                issue = Issue(IssueType.NOT_FOUND, told, (link.path,), severity, "reference-missing")
                issues.setdefault(change.key, []).append(issue)
    removed = [change.key for change in changes if change.body is None]
    for key, holders in (await _holders(context.registry, view, removed)).items():
        if others := [holder for holder in holders if holder not in own]:
            issues.setdefault(key, []).append(_held(key, others, severity))
    return issues


def refusal(issues: Sequence[Issue]) -> FhirError:
    """Return the error that broken references are refused with: a conflict where a deletion is among them."""
    return Conflict(*issues) if any(issue.id == "reference-held" for issue in issues) else Unprocessable(*issues)


async def _is_there(target: Local, own: Mapping[Key, Change], current: Mapping[Key, Stored], view: View) -> bool:
    there = own.get(target.key) or current.get(target.key)
    if there is None or there.body is None:
        return False
    if target.version is None or target.version == str(there.version):
        return True
    if not _VERSION.fullmatch(target.version):
        return False
    stored = await view.vread(target.key, int(target.version))
    return stored is not None and stored.body is not None


async def _holders(registry: Registry, view: View, keys: Sequence[Key]) -> dict[Key, list[Key]]:
    """Return the current resources that refer to each key, as the index tells."""
    lookups = [(key, type_, code) for key in keys for type_, code in _referring(registry, key.type)]
    found: dict[Key, list[Key]] = {}
    answers = await view.holders([(type_, Equality(code, str(key))) for key, type_, code in lookups])
    for (key, _, _), holders in zip(lookups, answers, strict=True):
        if holders:
            found[key] = list(dict.fromkeys((*found.get(key, ()), *holders)))
    return found


@lru_cache(maxsize=512)
def _referring(registry: Registry, type_: str) -> tuple[tuple[str, str], ...]:
    """Return (type, code) of all index entries that may hold a reference to a type.

    The search parameters are among them for resources that were indexed before this setting was on.
    """
    return tuple(_referring_pairs(registry, type_))


def _referring_pairs(registry: Registry, type_: str) -> Iterator[tuple[str, str]]:
    for other in sorted(registry.types):
        yield other, REFERENCES
        for code, parameter in registry.parameters(other).items():
            if parameter.type is not SearchParameterType.REFERENCE:
                continue
            kinds = {leaf.type for leaf in leaves(parameter, other, registry.structures)}
            if (not kinds or "Reference" in kinds) and (not parameter.targets or type_ in parameter.targets):
                yield other, code


def _held(key: Key, holders: Sequence[Key], severity: Severity) -> Issue:
    named = ", ".join(map(str, holders[:NAMED]))
    more = f" and {len(holders) - NAMED} more" if len(holders) > NAMED else ""
    told = f"{key} is referred to by {named}{more}"
    return Issue(IssueType.CONFLICT, told, ("http",), severity, "reference-held")


def _name(target: Local) -> str:
    return str(target.key) if target.version is None else f"{target.key}/_history/{target.version}"


def _why(target: Local, registry: Registry) -> str:
    if target.key.type not in registry.types:
        return f"{target.key.type} is not served"
    return "it was never stored, or is deleted"


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield the path and text of each literal reference, contained resources included."""
    todo: list[tuple[Any, str]] = [(value, path)]
    while todo:
        item, path = todo.pop()
        if isinstance(item, dict):
            text = item.get("reference")
            if isinstance(text, str):
                yield f"{path}.reference", text
            todo.extend((child, f"{path}.{name}") for name, child in item.items() if isinstance(child, dict | list))
        else:
            todo.extend((child, f"{path}[{at}]") for at, child in enumerate(item) if isinstance(child, dict | list))
