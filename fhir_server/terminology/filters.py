"""The filters of a value set: which concepts of a code system they let through.

Spec: https://hl7.org/fhir/R4/valueset-filter-operator.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import re2

from fhir_server.terminology.code_system import CodeSystem, Concept
from fhir_server.terminology.problems import bad_definition

Lets: TypeAlias = Callable[[Concept], bool]

_REGEX_BYTES: Final = 1_000_000
"""What a compiled expression may take. RE2 takes time in proportion to the text, whatever the expression."""

_ITSELF: Final = frozenset(("concept", "code"))
"""The property that stands for the concept and its place in the hierarchy."""

_BUILTIN: Final = frozenset(
    ("concept", "code", "display", "definition", "parent", "child", "inactive", "notSelectable")
)


def lets(system: CodeSystem, filters: Iterable[Mapping[str, Any]]) -> Lets:
    """Return whether all of the filters let a concept through. Raises ``Unprocessable`` for one that cannot be used."""
    each = [_one(system, one.get("property", ""), one.get("op", ""), one.get("value", "")) for one in filters]
    return lambda concept: all(one(concept) for one in each)


def _one(system: CodeSystem, property: str, op: str, value: str) -> Lets:
    where = f"the filter {property} {op} of {system.url}"
    _demand_property(system, property, where)
    match op:
        case "is-a" | "descendent-of" | "is-not-a" | "generalizes":
            return _hierarchy(system, property, op, value, where)
        case "=":
            return lambda concept: value in _values(system, concept, property)
        case "in" | "not-in":
            listed = frozenset(part.strip() for part in value.split(","))
            return lambda concept: listed.isdisjoint(_values(system, concept, property)) is (op == "not-in")
        case "regex":
            pattern = _compiled(value, where)
            return lambda concept: any(pattern.fullmatch(text) for text in _values(system, concept, property))
        case "exists":
            if value not in {"true", "false"}:
                raise bad_definition(f"{where} takes true or false")
            return lambda concept: bool(_values(system, concept, property)) is (value == "true")
    raise bad_definition(f"{where}: there is no such operator")


def _hierarchy(system: CodeSystem, property: str, op: str, value: str, where: str) -> Lets:
    if property not in _ITSELF:
        raise bad_definition(f"{where} is about the hierarchy: its property is concept")
    start = system.concept(value)
    if start is None:
        raise bad_definition(f"{where}: {system.url} has no code {value!r}")
    if op == "generalizes":
        codes = system.ancestors(start.code) | {start.code}
    elif op == "descendent-of":
        codes = system.descendants(start.code)
    else:
        codes = system.descendants(start.code) | {start.code}
    return lambda concept: (concept.code in codes) is (op != "is-not-a")


def _demand_property(system: CodeSystem, property: str, where: str) -> None:
    """Raise ``Unprocessable`` for a property that is neither declared nor used."""
    if property in system.properties or property in _BUILTIN:
        return
    if not any(code == property for concept in system.concepts.values() for code, _, _ in concept.properties):
        known = ", ".join(sorted({*system.properties, *_BUILTIN}))
        raise bad_definition(f"{where}: there is no such property; there are {known}")


def _values(system: CodeSystem, concept: Concept, property: str) -> list[str]:
    if property in _ITSELF:
        return [concept.code]
    if property in {"display", "definition"}:
        text = concept.display if property == "display" else concept.definition
        return [] if text is None else [text]
    if property in {"inactive", "notSelectable"}:
        return ["true" if (concept.is_inactive if property == "inactive" else concept.is_abstract) else "false"]
    meaning = system.meaning(property)
    if meaning == "parent":
        return system.parents(concept.code)
    if meaning == "child":
        return system.children(concept.code)
    return concept.values(property)


def _compiled(expression: str, where: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _REGEX_BYTES
    try:
        return re2.compile(expression, options)
    except re2.error:
        raise bad_definition(f"{where}: the expression cannot be read, or is too large") from None
