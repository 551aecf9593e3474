"""Extensions: each against its definition, where that is loaded, and in a place where it may stand.

An unknown extension is accepted, as R4 asks; an unknown modifier extension is told, since nobody here can honour it.
Spec: https://hl7.org/fhir/R4/extensibility.html, https://hl7.org/fhir/R4/defining-extensions.html#context
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.fhirpath import EvaluationError, ExpressionError, Item, compile_path
from fhir_server.model.formats import Resource
from fhir_server.validation.faults import Fault
from fhir_server.validation.profiles.constraints import holds
from fhir_server.validation.profiles.run import Run


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: an object, the name of the element that it is a value of, and what that is part of."""

    item: Item
    name: str | None
    outer: Place | None = None

    def paths(self, run: Run) -> Iterator[str]:
        """Yield all that this place can be called: its types, and its path from each object around it."""
        tail = ""
        place: Place | None = self
        while place is not None:
            for type_ in _types(place.item.type, run) if not tail else (place.item.type,):
                yield type_ + tail
            if place.name is None:
                return
            tail = f".{place.name}{tail}"
            place = place.outer

    @property
    def root(self) -> Place:
        """The resource."""
        place = self
        while place.name is not None and place.outer is not None:
            place = place.outer
        return place


def check_extension(item: Item, place: Place, run: Run, *, is_modifier: bool) -> list[Fault]:
    """Return what is wrong with an extension at a place, nothing if its definition is not loaded."""
    url = item.value.get("url")
    if not isinstance(url, str) or ":" not in url or not run.may_go_on():
        return []
    definition = run.find(url)
    if definition is None:
        if is_modifier:
            run.note("extension-not-checked", url, f"the definition of the modifier extension {url} is not loaded")
        return []
    faults = run.conforms(item, url) or []
    told = f" (extension {url})"
    if definition.get("type") == "Extension" and not _may_stand(definition, place, run, url):
        faults = [*faults, Fault("extension-context", f"it may not stand here: expected {_expected(definition)}{told}")]
    root = run.tree(url)
    for expression in _context_invariants(definition):
        if _holds(expression, place, run, url) is False:
            faults = [*faults, Fault("extension-context", f"it may stand only where {expression}{told}")]
    if root is not None and is_modifier != (root.definition.get("isModifier") is True):
        expected = "extension" if is_modifier else "modifierExtension"
        faults = [*faults, Fault("extension-context", f"it must stand in {expected}{told}")]
    return faults


def _contexts(definition: Resource) -> list[tuple[str, str]]:
    listed = definition.get("context")
    return [
        (str(one.get("type")), str(one.get("expression")))
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, dict)
    ]


def _expected(definition: Resource) -> str:
    return ", ".join(expression for _, expression in _contexts(definition))


def _may_stand(definition: Resource, place: Place, run: Run, url: str) -> bool:
    contexts = _contexts(definition)
    if not contexts:
        return True
    here = set(place.paths(run))
    return any(_is_at(type_, expression, here, place, run, url) for type_, expression in contexts)


def _context_invariants(definition: Resource) -> list[str]:
    listed = definition.get("contextInvariant")
    return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []


def _holds(expression: str, place: Place, run: Run, url: str) -> bool | None:
    """Tell whether a rule of where an extension may stand holds on the element that it stands on; None (noted) if that
    cannot be told: of the value of a primitive element, the walk has the extensions only."""
    about, named = f"{url} {expression}", f"the contextInvariant of the extension {url}"
    if place.item.type in run.structures.types and run.structures.kind(place.item.type) == "primitive-type":
        run.note("invariant-not-checked", about, f"{named} is not checked on {place.item.type}: {expression}")
        return None
    return holds(expression, place.item, run, about, named)


def _is_at(type_: str, expression: str, here: set[str], place: Place, run: Run, url: str) -> bool:
    match type_:
        case "element":
            return expression in here or ":" in expression  # a slice's element is not told apart
        case "extension":
            return place.item.type == "Extension" and place.item.value.get("url") == expression.partition("#")[0]
        case "fhirpath":
            return _is_found(expression, place, run, url)
    return True


def _is_found(expression: str, place: Place, run: Run, url: str) -> bool:
    root = place.root.item
    try:
        found = compile_path(expression, root.type, run.structures)(root, run.environment)
    except (ExpressionError, EvaluationError):
        run.note("invariant-not-checked", url, f"the context of the extension {url} is not checked: {expression}")
        return True
    value: Any = place.item.value
    return any(one.value is value or one.extras is value for one in found)


def _types(type_: str, run: Run) -> Iterator[str]:
    """Yield a type and those that it specialises."""
    yield type_
    if "." in type_:
        yield from ("BackboneElement", "Element")
        return
    current = run.structures.base(type_) if type_ in run.structures.types else None
    while current is not None:
        yield current
        current = run.structures.base(current)
