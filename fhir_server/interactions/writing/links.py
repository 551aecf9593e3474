"""References inside a transaction: to its own entries by their fullUrl, and by criteria.

``urn:uuid:…`` (or any other fullUrl of an entry that is written) becomes ``Type/id`` wherever R4 wants it: in
references, in elements of type uri, url and canonical, in extensions, and in the links and images of the
narrative. ``Patient?identifier=…`` becomes the one match, in the state before the transaction or among its own entries.

Spec: https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fhir_server.definitions.structures import Structures
from fhir_server.interactions.context import Context
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.writing.intents import Prepared, Step
from fhir_server.interactions.writing.known import CONDITIONAL, RELATIVE, root_of
from fhir_server.interactions.writing.own import OwnEntries
from fhir_server.model.formats import Resource
from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest, FhirError, Issue, IssueType, PreconditionFailed

_ATTRIBUTE: Final = re.compile(r"""(?P<before>\b(?:href|src)\s*=\s*)(?P<quote>["'])(?P<url>.*?)(?P=quote)""", re.DOTALL)
_URI_TYPES: Final = frozenset({"uri", "url", "canonical"})
"""R4 names oid and uuid too, but ``Type/id`` is neither: the resource would not be valid any more."""


class TransactionLinks:
    """Resolves the references of one transaction."""

    async def link(self, context: Context, prepared: Prepared) -> None:
        """Give each step its resource with the references resolved, and add the questions asked to ``prepared``."""
        assert prepared.own is not None  # noqa: S101 - a transaction has its own entries
        own = prepared.own
        errors: list[Issue] = []
        pace = Pace()
        found: list[tuple[int, Resource, _Links]] = []
        for place, step in enumerate(prepared.steps):
            if step.resource is not None:
                links = _links(step.resource, own.names.found, root_of(step.intent.full_url))
                found.append((place, step.resource, links))
                errors.extend(_dangling(step) for _ in range(links.is_dangling))
                await pace.keep()
        asked = await _asked(own, [(prepared.steps[place], links.conditional) for place, _, links in found], errors)
        if errors:
            raise BadRequest(*errors)
        for place, resource, links in found:
            if links.conditional or links.is_touched:
                step = prepared.steps[place]
                target = _targets(own.names.found, asked, root_of(step.intent.full_url))
                linked = rewritten(resource, target, context.registry.structures)
                prepared.steps[place] = replace(step, intent=replace(step.intent, resource=linked))
                await pace.keep()


@dataclass(slots=True)
class _Links:
    """What one look at a resource finds in it."""

    conditional: set[str] = field(default_factory=set)
    is_touched: bool = False
    """Something of it may have to be replaced."""
    is_dangling: bool = False
    """A reference names a urn that is no entry's fullUrl."""


def _links(resource: Resource, names: Mapping[str, Key], root: str | None) -> _Links:
    found = _Links()
    todo: list[Any] = [resource]
    while todo:
        item = todo.pop()
        for name, value in item.items() if isinstance(item, dict) else ((None, value) for value in item):
            if isinstance(value, str):
                if name == "reference" and (":" in value or "?" in value):
                    if value.startswith(("urn:uuid:", "urn:oid:")) and value.partition("#")[0] not in names:
                        found.is_dangling = True
                    elif CONDITIONAL.fullmatch(value):
                        found.conditional.add(value)
                if not found.is_touched:
                    url = value.partition("#")[0] if "#" in value else value
                    found.is_touched = (
                        url in names
                        or (name == "div" and "=" in value)
                        or (root is not None and f"{root}{url}" in names)
                    )
            elif isinstance(value, dict | list):
                todo.append(value)
    return found


async def _asked(own: OwnEntries, wanted: Sequence[tuple[Step, set[str]]], errors: list[Issue]) -> Mapping[str, Key]:
    """Return what conditional references become; raise or keep what is wrong with them."""
    first: dict[str, Step] = {}
    for step, texts in wanted:
        for text in sorted(texts):
            first.setdefault(text, step)
    answers = await own.references(list(first))
    failed = [(step, answers[text]) for text, step in first.items()]
    for step, answer in failed:
        if isinstance(answer, FhirError):
            path = (f"{step.intent.at}.resource",) if step.intent.at else ()
            errors.extend(replace(issue, expression=path) for issue in answer.issues)
            if isinstance(answer, PreconditionFailed):
                raise PreconditionFailed(*errors)
    return {text: answer for text, answer in answers.items() if isinstance(answer, Key)}


def _targets(names: Mapping[str, Key], asked: Mapping[str, Key], root: str | None) -> Callable[[str], str | None]:
    """Return what tells, for the texts of one entry, what each becomes; None: it stays.

    A relative reference is one to the server that the entry's fullUrl comes from.
    Spec: https://hl7.org/fhir/R4/bundle.html#references
    """

    def target(text: str) -> str | None:
        url, mark, fragment = text.partition("#")
        key = names.get(url) or asked.get(text)
        if key is None and root is not None and RELATIVE.fullmatch(url):
            key = names.get(f"{root}{url}")
        return None if key is None else f"{key}{mark}{fragment}"

    return target


def _dangling(step: Step) -> Issue:
    told = "a reference names a urn that is no entry's fullUrl"
    path = (f"{step.intent.at}.resource",) if step.intent.at else ()
    return Issue(IssueType.NOT_FOUND, told, path, id="reference-dangling")


def rewritten(resource: Resource, target: Callable[[str], str | None], structures: Structures) -> Resource:
    """Return a copy of a resource in which ``target`` has replaced what it knows, where R4 wants it replaced."""
    return _object(resource, str(resource.get("resourceType")), target, structures)


def _object(value: Resource, path: str, target: Callable[[str], str | None], structures: Structures) -> Resource:
    types = _types(structures, path)
    result: Resource = {}
    for name, child in value.items():
        type_ = types.get(name, "")
        result[name] = _value(child, type_, target, structures)
    return result


def _value(value: Any, type_: str, target: Callable[[str], str | None], structures: Structures) -> Any:
    if isinstance(value, list):
        return [_value(item, type_, target, structures) for item in value]
    if isinstance(value, dict):
        if type_ in {"Resource", ""} and isinstance(value.get("resourceType"), str):
            type_ = value["resourceType"]
        return _object(value, type_, target, structures)
    if not isinstance(value, str):
        return value
    if type_ in _URI_TYPES or type_ == "Reference.reference":
        return target(value) or value
    if type_ == "xhtml":
        return _ATTRIBUTE.sub(lambda m: _attribute(m, target), value)
    return value


def _attribute(match: re.Match[str], target: Callable[[str], str | None]) -> str:
    found = target(match["url"])
    return match.group() if found is None else f"{match['before']}{match['quote']}{found}{match['quote']}"


def _types(structures: Structures, path: str) -> Mapping[str, str]:
    """Return property name → type code, backbone path, or ``Reference.reference``, for the children of a path."""
    cached = _CACHE.get(path)
    if cached is None:
        cached = _CACHE[path] = dict(_type_pairs(structures, path))
    return cached


_CACHE: Final[dict[str, Mapping[str, str]]] = {}
"""R4's own structure: the same for every registry."""


def _type_pairs(structures: Structures, path: str) -> Iterator[tuple[str, str]]:
    try:
        children = structures.children(path)
    except KeyError:
        return
    for element in children.values():
        for name, type_ in element.json_names().items():
            yield f"_{name}", "Element"
            if element.path == "Reference.reference":
                yield name, "Reference.reference"
            elif element.content:
                yield name, element.content
            elif type_ in {"BackboneElement", "Element"}:
                yield name, element.path
            else:
                yield name, type_
