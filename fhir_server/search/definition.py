"""What makes a SearchParameter resource one that this server can search by.

Asked of active ones only: a draft may hold whatever is FHIR.
Spec: https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Final

from fhir_server.definitions.aliases import Aliases
from fhir_server.definitions.parameters import SearchParameter
from fhir_server.definitions.registry import Registry
from fhir_server.fhirpath import ExpressionError, compile_path
from fhir_server.fhirpath.parser import parse
from fhir_server.fhirpath.syntax import Binary, Call, Index, Member, Node, TypeOperation
from fhir_server.model.formats import Resource
from fhir_server.outcome import Issue, IssueType
from fhir_server.search import extract
from fhir_server.search.cost import excess
from fhir_server.search.criteria import Kind

CODE: Final = re.compile("[A-Za-z][A-Za-z0-9_-]{0,63}")
"""What begins with an underscore is the standard's; a colon and a dot mean a modifier and a chain."""

COMMON: Final = frozenset(("Resource", "DomainResource"))
"""The bases of parameters that all types have."""

READ: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.STRING: frozenset(extract.STRING),
    Kind.TOKEN: frozenset(extract.token_extractors(Aliases())),
    Kind.URI: frozenset(extract.URI),
    Kind.REFERENCE: frozenset(extract.reference_extractors((), Aliases())),
    Kind.DATE: frozenset(extract.date_extractors(UTC)),
    Kind.NUMBER: frozenset(extract.NUMBER),
    Kind.QUANTITY: frozenset(extract.QUANTITY),
}
"""The types of elements whose values a parameter of each type finds; other types of parameter cannot be added."""


def faults(resource: Resource, registry: Registry) -> Iterator[Issue]:
    """Yield why a SearchParameter that is FHIR cannot be searched by. Nothing, if it is not active or says again what
    is built in."""
    if resource.get("status") != "active":
        return
    if missing := [name for name in ("url", "code", "type") if name not in resource]:
        yield from (
            _issue(name, "an extension is there in its stead: nothing can be searched by it") for name in missing
        )
        return
    if is_description(resource, registry):
        return
    if not CODE.fullmatch(resource["code"]):
        told = (
            f"the code is {resource['code'][:64]!r}; expected are a letter, then letters, digits, - and _, "
            "64 characters at most: what begins with _ is the standard's"
        )
        yield _issue("code", told)
    kind = Kind(resource["type"])
    if kind not in READ:
        told = f"a parameter of type {kind} cannot be added; expected is one of {', '.join(sorted(READ))}"
        yield _issue("type", told, IssueType.NOT_SUPPORTED)
    elif "expression" not in resource:
        yield _issue("expression", "without an expression nothing can be indexed")
    if kind is not Kind.REFERENCE and "target" in resource:
        yield _issue("target", f"only a reference has targets; this is a {kind}")
    for place, base in enumerate(resource["base"]):
        yield from _faults_of_base(resource, base, f"base[{place}]", registry)


def _faults_of_base(resource: Resource, base: str, path: str, registry: Registry) -> Iterator[Issue]:
    if base not in registry.types | COMMON:
        told = f"{base} is not served here; served are {', '.join(sorted(registry.types | COMMON))}"
        yield _issue(path, told, IssueType.NOT_SUPPORTED)
        return
    builtin = next(
        (found for type_ in _types(base, registry) if (found := registry.builtin(type_, resource["code"]))), None
    )
    if builtin is not None:
        told = (
            f"{resource['code']} is a parameter of {builtin.base} already, {builtin.url}: "
            "choose another code, or give that url to describe it"
        )
        yield _issue("code", told, IssueType.DUPLICATE)
    fault = expression_fault(resource.get("expression", ""), Kind(resource["type"]), base, registry)
    if fault is not None:
        yield _issue("expression", fault)


def is_description(resource: Resource, registry: Registry) -> bool:
    """Tell whether a resource only describes what is built in: its url, code and type, on each of its bases.

    R4's own definitions are stored like any other resource, and change nothing.
    """
    code = resource["code"]
    return all(
        (found := registry.builtin(base, code)) is not None
        and (found.url, found.type) == (resource["url"], resource["type"])
        for base in resource["base"]
    )


def is_usable(parameter: SearchParameter, registry: Registry) -> bool:
    """Tell whether a stored parameter can be searched by: it was checked when it was written, by the program of that
    time. One that finds what a guide's does is not needed."""
    return (
        CODE.fullmatch(parameter.code) is not None
        and parameter.base in registry.structures.types
        and not any(registry.builtin(type_, parameter.code) for type_ in _types(parameter.base, registry))
        and parameter.type in READ
        and not registry.is_of_guide(parameter)
        and expression_fault(parameter.expression, parameter.type, parameter.base, registry) is None
    )


def expression_fault(expression: str, kind: Kind, base: str, registry: Registry) -> str | None:
    """Return why an expression gives no values to search by, None if it does; where in its text is told if known."""
    if not expression or kind not in READ:
        return None
    try:
        path = compile_path(expression, base, registry.structures)
    except ExpressionError as error:
        return f"it cannot be compiled: {error}"
    node = parse(expression)
    fault = excess(expression, node) or _astray(node, base, registry)
    if fault is not None:
        return fault
    if path.types is not None and not path.types & READ[kind]:
        led = ", ".join(sorted(path.types)) or "nothing"
        return f"it leads to {led} on {base}; a {kind} is found in {', '.join(sorted(READ[kind]))}"
    return None


def _astray(node: Node, base: str, registry: Registry) -> str | None:
    """Return why an expression leads to nothing that is indexed with a base, None if it may."""
    roots = set(_roots(node))
    if None not in roots and roots.isdisjoint(_types(base, registry)) and roots.isdisjoint(registry.bases(base)):
        return f"it says nothing of {base}: it begins with {', '.join(sorted(filter(None, roots)))}"
    for name in _set_by_the_server(node):
        return f"meta.{name} is set by the server and not indexed: search by _lastUpdated"
    return None


def _types(base: str, registry: Registry) -> Iterator[str]:
    """Yield the types that a parameter of a base concerns."""
    if base not in COMMON:
        yield base
        return
    structures = registry.structures
    yield from (type_ for type_ in structures.resource_types if structures.is_a(type_, base))


def _set_by_the_server(node: Node | None) -> Iterator[str]:
    """Yield the elements of meta that alternatives of an expression lead to and no index entry is made of."""
    match node:
        case Binary("|", left, right):
            yield from _set_by_the_server(left)
            yield from _set_by_the_server(right)
        case TypeOperation("as", operand):
            yield from _set_by_the_server(operand)
        case Member(Member(_, "meta"), "lastUpdated" | "versionId" as name):
            yield name


def _roots(node: Node | None) -> Iterator[str | None]:
    """Yield the type that each alternative of an expression begins with, None where it begins with no type."""
    match node:
        case Binary("|", left, right):
            yield from _roots(left)
            yield from _roots(right)
        case Member(None, name) if name[:1].isupper():
            yield name
        case Member(source) | Call(source) | Index(source):
            yield from _roots(source)
        case TypeOperation("as", operand):
            yield from _roots(operand)
        case _:
            yield None


def _issue(element: str, told: str, code: IssueType = IssueType.BUSINESS_RULE) -> Issue:
    return Issue(code, told, (f"SearchParameter.{element}",), id="search-parameter-definition")
