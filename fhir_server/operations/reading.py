"""Reading what an operation is given: from the query string, from a Parameters resource, from a bare resource.

All that is wrong is told at once: names that the operation does not take, wrong types, too many, missing.
Spec: https://hl7.org/fhir/R4/operations.html#request
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from fhir_server.definitions.operations import Parameter
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request
from fhir_server.interactions.pace import THREAD_FROM, aside
from fhir_server.interactions.parameters import GENERAL
from fhir_server.interactions.preparing import weight
from fhir_server.interactions.query_string import pairs
from fhir_server.interactions.routes import shown
from fhir_server.model.formats import Decimal, Resource, parse
from fhir_server.operations.call import Value, Values
from fhir_server.outcome import BadRequest, Issue, IssueType

_BOOLEANS: Final = {"true": True, "false": False}
_WHOLE: Final = frozenset(("integer", "unsignedInt", "positiveInt"))


async def read(context: Context, request: Request, takes: Sequence[Parameter]) -> Values:
    """Return the values of a request's parameters, checked against those that are taken. Raises ``BadRequest``."""
    problems: list[Issue] = []
    reader = _Reader(context, takes, problems)
    given = list(reader.of_query(request.query))
    if request.method == "POST":
        body = await _body(request)
        given += await aside(weight(body, THREAD_FROM), lambda: list(reader.of_body(body)))
    problems += _counted(takes, given, request)
    if problems:
        raise BadRequest(*problems)
    return Values(tuple(given))


async def _body(request: Request) -> Resource | None:
    """Return the resource of a body, None where there is none. Raises ``BadRequest``."""
    body = request.resource
    if body is None and request.body:
        body = await aside(len(request.body), parse, request.body)
    if body is None or isinstance(body, dict):
        return body
    raise BadRequest(Issue(IssueType.STRUCTURE, "the body is not a JSON object", ("Parameters",), id="body-not-object"))


class _Reader:
    """Reads values, and notes what is wrong with them."""

    def __init__(self, context: Context, takes: Sequence[Parameter], problems: list[Issue]) -> None:
        self._context = context
        self._structures = context.registry.structures
        self._takes = takes
        self._problems = problems

    # --- the query string

    def of_query(self, query: str) -> Iterator[Value]:
        """Yield the values of a query string, which can hold those of primitive types."""
        by_name = {parameter.name: parameter for parameter in self._takes}
        for name, text in pairs(query):
            if name in GENERAL:
                continue
            parameter = by_name.get(name)
            at = f"http.{shown(name).strip(chr(34))}"
            if parameter is None:
                self._unknown(name, at, by_name)
            elif not self._is_primitive(parameter):
                told = (
                    f"{name} is a {parameter.type or 'parameter with parts'}: send it in a Parameters resource, by POST"
                )
                self._wrong(told, at)
            else:
                yield from self._of_text(parameter, text, at)

    def _of_text(self, parameter: Parameter, text: str, at: str) -> Iterator[Value]:
        value: Any = text
        if parameter.type == "boolean":
            value = _BOOLEANS.get(text, text)
        elif parameter.type in _WHOLE and text.lstrip("+-").isdecimal() and text.isascii() and len(text) < 12:
            value = int(text)
        elif parameter.type == "decimal":
            try:
                value = Decimal(text)
            except ArithmeticError:
                value = text
        wrong = self._faults({"name": parameter.name, _member(parameter.type): value})
        if not wrong:
            yield Value(parameter.name, value, at)
        self._problems += [replace(issue, expression=(at,), id="operation-parameter-value") for issue in wrong]

    # --- bodies

    def of_body(self, body: Resource | None) -> Iterator[Value]:
        """Yield the values of a Parameters resource; any other resource is that of the one parameter that takes it."""
        if body is None:
            return
        type_ = body.get("resourceType")
        if type_ == "Parameters":
            wrong = self._faults(*body.get("parameter", ()), whole=body)
            if wrong:
                raise BadRequest(*wrong)
            yield from self._of_parts(body.get("parameter", ()), self._takes, "Parameters.parameter")
            return
        takers = [one for one in self._takes if isinstance(type_, str) and self._takes_resource(one, type_)]
        if len(takers) == 1:
            yield Value(takers[0].name, body, str(type_))
            return
        types = [
            one.type for one in self._takes if one.type in self._structures.resource_types or one.type == "Resource"
        ]
        expected = " or ".join(["Parameters", *dict.fromkeys(types)])
        named = "missing" if type_ is None else shown(type_) if isinstance(type_, str) else "no string"
        told = f"resourceType is {named}; the operation takes {expected}"
        raise BadRequest(Issue(IssueType.VALUE, told, ("Parameters",), id="resource-type-mismatch"))

    def _of_parts(self, given: Sequence[Any], takes: Sequence[Parameter], path: str) -> Iterator[Value]:
        by_name = {parameter.name: parameter for parameter in takes}
        for place, one in enumerate(given):
            at, name = f"{path}[{place}]", one["name"]
            parameter = by_name.get(name)
            if parameter is None:
                self._unknown(name, f"{at}.name", by_name)
            elif parameter.parts:
                parts = tuple(self._of_parts(one.get("part", ()), parameter.parts, f"{at}.part"))
                self._problems += _missing(parameter.parts, [part.name for part in parts], at)
                yield Value(name, None, at, parts)
            else:
                yield from self._of_element(parameter, one, at)

    def _of_element(self, parameter: Parameter, given: Mapping[str, Any], at: str) -> Iterator[Value]:
        """Yield the one value of ``Parameters.parameter``, if it is of a type that the parameter takes."""
        if "part" in given:
            self._wrong(f"{parameter.name} is a {parameter.type}, and has no parts", f"{at}.part")
            return
        member = next((name for name in given if name.startswith("value") or name == "resource"), None)
        if member is None:
            self._wrong(f"{parameter.name} has no value; it is a {parameter.type}", at)
            return
        value = given[member]
        if member == "resource":
            is_right = self._takes_resource(parameter, value.get("resourceType"))
        else:
            types = (one for one in self._structures.types if _member(one) == member)
            is_right = any(self._structures.is_a(type_, parameter.type) for type_ in types)
        if is_right:
            yield Value(parameter.name, value, f"{at}.{member}")
        else:
            self._wrong(f"{parameter.name} is a {parameter.type}; received is {member}", f"{at}.{member}")

    # --- checks

    def _is_primitive(self, parameter: Parameter) -> bool:
        return parameter.type in self._structures.types and self._structures.kind(parameter.type) == "primitive-type"

    def _takes_resource(self, parameter: Parameter, type_: object) -> bool:
        if not isinstance(type_, str) or type_ not in self._structures.resource_types:
            return parameter.type == "Resource"  # whoever takes any resource tells what is wrong with this one
        return parameter.type in self._structures.types and self._structures.is_a(type_, parameter.type)

    def _faults(self, *given: Any, whole: Mapping[str, Any] | None = None) -> list[Issue]:
        """Return what is wrong with parameters as FHIR, apart from their resources: whoever uses those checks them."""
        bare = [_without_resources(one) for one in given]
        resource = {**(whole or {"resourceType": "Parameters"}), "parameter": bare}
        if not bare:
            del resource["parameter"]
        return [issue for issue in self._context.validator.validate(resource) if issue.is_error]

    def _unknown(self, name: str, at: str, known: Mapping[str, Parameter]) -> None:
        valid = ", ".join(known) or "none"
        told = f"{shown(name)} is not a parameter of the operation; valid are {valid}"
        self._problems.append(Issue(IssueType.NOT_SUPPORTED, told, (at,), id="operation-parameter-unknown"))

    def _wrong(self, told: str, at: str) -> None:
        self._problems.append(Issue(IssueType.VALUE, told, (at,), id="operation-parameter-value"))


def _without_resources(given: Any) -> Any:
    """Return an element of Parameters with each resource in it, at any depth, replaced by an empty one."""
    if not isinstance(given, dict):
        return given
    bare = dict(given)
    if isinstance(bare.get("resource"), dict):
        bare["resource"] = {"resourceType": "Parameters"}
    if isinstance(bare.get("part"), list):
        bare["part"] = [_without_resources(part) for part in bare["part"]]
    return bare


def _member(type_: str) -> str:
    """Return the JSON name of a value of a type: ``valueCode``."""
    return f"value{type_[:1].upper()}{type_[1:]}"


def _counted(takes: Sequence[Parameter], given: Sequence[Value], request: Request) -> Iterator[Issue]:
    """Yield an issue for each parameter that stands too often, or is missing."""
    for parameter in takes:
        of_name = [one for one in given if one.name == parameter.name]
        if parameter.max is not None and len(of_name) > parameter.max:
            told = (
                f"{parameter.name} stands {len(of_name)} times; it may {parameter.max} time{'s' * (parameter.max > 1)}"
            )
            yield Issue(IssueType.VALUE, told, (of_name[parameter.max].at,), id="operation-parameter-value")
    yield from _missing(takes, [one.name for one in given], "Parameters" if request.method == "POST" else "http")


def _missing(takes: Sequence[Parameter], given: Sequence[str], at: str) -> Iterator[Issue]:
    for parameter in takes:
        if given.count(parameter.name) < parameter.min:
            told = f"the parameter {parameter.name} is missing"
            yield Issue(IssueType.REQUIRED, told, (at,), id="operation-parameters")
