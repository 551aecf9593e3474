"""References inside a transaction: to its own entries by their fullUrl, and by criteria.

``urn:uuid:…`` (or any other fullUrl of an entry that is written) becomes ``Type/id`` wherever R4 wants it: in
references, in elements of type uri, url and canonical, in extensions, and in the links and images of the
narrative. ``Patient?identifier=…`` becomes the one match, in the state before the transaction or among its own entries.

Spec: https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fhir_server.definitions.structures import Structures
from fhir_server.interactions.conditional import ask, criteria, only
from fhir_server.interactions.context import Context
from fhir_server.interactions.own import OwnEntries
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.routes import served
from fhir_server.interactions.write import Prepared, Step
from fhir_server.model.formats import Resource
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest, FhirError, Issue, IssueType, PreconditionFailed
from fhir_server.storage.protocol import Snapshot

_CRITERIA: Final = re.compile(r"(?P<type>[A-Z][A-Za-z]+)\?(?P<query>.+)", re.DOTALL)
_RELATIVE: Final = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")
_RESTFUL: Final = re.compile(rf"(?P<root>https?://.*/){_RELATIVE.pattern}", re.DOTALL)
_ATTRIBUTE: Final = re.compile(r"""(?P<before>\b(?:href|src)\s*=\s*)(?P<quote>["'])(?P<url>.*?)(?P=quote)""", re.DOTALL)
_URI_TYPES: Final = frozenset({"uri", "url", "canonical"})
"""R4 names oid and uuid too, but ``Type/id`` is neither: the resource would not be valid any more."""


@dataclass(slots=True)
class TransactionLinks:
    """What the entries of one transaction are called by, and the criteria already asked."""

    keys: dict[str, Key] = field(default_factory=dict)
    asked: dict[str, Key] = field(default_factory=dict)
    own: OwnEntries = field(default_factory=OwnEntries)
    owned: set[str] = field(default_factory=set)
    """The types whose entries are in ``own``."""

    async def link(self, context: Context, snapshot: Snapshot, prepared: Prepared) -> None:
        """Give each step its resource with the references resolved, and add the questions asked to ``prepared``."""
        self._name(context, prepared)
        errors: list[Issue] = []
        pace = Pace()
        for step in prepared.steps:
            await pace.keep()
            if step.intent.resource is not None and not step.existing:
                for text in sorted(set(_by_criteria(step.intent.resource))):
                    if text not in self.asked:
                        await self._resolve(context, snapshot, prepared, text, step, errors)
        if errors:
            raise BadRequest(*errors)
        for index, step in enumerate(prepared.steps):
            await pace.keep()
            if step.intent.resource is not None and not step.existing:
                target = self._targets_from(step.intent.full_url)
                resource = rewritten(step.intent.resource, target, context.registry.structures)
                _refuse_dangling(resource, step.intent.at, errors)
                prepared.steps[index] = replace(step, intent=replace(step.intent, resource=resource))
        if errors:
            raise BadRequest(*errors)

    def _name(self, context: Context, prepared: Prepared) -> None:
        for step in prepared.steps:
            url = step.intent.full_url
            if url and step.intent.interaction is not Interaction.DELETE:
                self.keys[url] = step.keys[0]

    def _targets_from(self, full_url: str | None) -> Callable[[str], str | None]:
        """Return what tells, for the texts of one entry, what each becomes; None: it stays.

        A relative reference is one to the server that the entry's fullUrl comes from.
        Spec: https://hl7.org/fhir/R4/bundle.html#references
        """
        match = _RESTFUL.fullmatch(full_url or "")
        root = match["root"] if match else None

        def target(text: str) -> str | None:
            url, mark, fragment = text.partition("#")
            key = self.keys.get(url) or self.asked.get(text)
            if key is None and root is not None and _RELATIVE.fullmatch(url):
                key = self.keys.get(f"{root}{url}")
            return None if key is None else f"{key}{mark}{fragment}"

        return target

    async def _resolve(
        self, context: Context, snapshot: Snapshot, prepared: Prepared, text: str, step: Step, errors: list[Issue]
    ) -> None:
        match = _CRITERIA.fullmatch(text)
        assert match is not None  # noqa: S101 - _by_criteria yields only what matches
        type_ = match["type"]
        path = (f"{step.intent.at}.resource",) if step.intent.at else ()
        try:
            served(type_, context.registry)
            where = criteria(context, type_, match["query"], "a conditional reference")
            question = await ask(snapshot, type_, where)
            self._index(context, prepared, type_)
            mine = self.own.matching(type_, where)
            gone = {
                key for step in prepared.steps if step.intent.interaction is Interaction.DELETE for key in step.keys
            }
            changed = {key for key in question.keys if key in self.own and key not in mine}
            key = only(replace(question, keys=question.keys | mine), gone | changed)
        except FhirError as error:
            errors.extend(replace(issue, expression=path) for issue in error.issues)
            if isinstance(error, PreconditionFailed):
                raise PreconditionFailed(*errors) from None
            return
        prepared.questions.append(question)
        if key is None:
            raise PreconditionFailed(
                Issue(IssueType.NOT_FOUND, f"no {type_} matches a conditional reference", path, id="reference-no-match")
            )
        self.asked[text] = key

    def _index(self, context: Context, prepared: Prepared, type_: str) -> None:
        """Have the transaction's own resources of a type in ``own``."""
        if type_ in self.owned:
            return
        self.owned.add(type_)
        for step in prepared.steps:
            if step.intent.type == type_ and step.intent.resource is not None and not step.existing:
                self.own.add(step.keys[0], context.indexer.entries(step.intent.resource))


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


def _by_criteria(resource: Any) -> Iterator[str]:
    """Yield the conditional references (``Type?criteria``) of a resource."""
    for text in _reference_texts(resource):
        if "?" in text and _CRITERIA.fullmatch(text):
            yield text


def _reference_texts(value: Any) -> Iterator[str]:
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            text = item.get("reference")
            if isinstance(text, str):
                yield text
            todo.extend(child for child in item.values() if isinstance(child, dict | list))
        elif isinstance(item, list):
            todo.extend(child for child in item if isinstance(child, dict | list))


def _refuse_dangling(resource: Resource, at: str, errors: list[Issue]) -> None:
    if any(text.startswith(("urn:uuid:", "urn:oid:")) for text in _reference_texts(resource)):
        text = "a reference names a urn that is no entry's fullUrl"
        errors.append(Issue(IssueType.NOT_FOUND, text, (f"{at}.resource",) if at else (), id="reference-dangling"))
