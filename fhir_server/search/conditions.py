"""From one parameter's name and value to a condition: criterion, chain or reverse chain.

Spec: https://hl7.org/fhir/R4/search.html#chaining, https://hl7.org/fhir/R4/search.html#has
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC
from functools import partial
from typing import Final

from fhir_server.definitions.parameters import SearchParameter
from fhir_server.definitions.registry import Registry
from fhir_server.model.primitives import ID
from fhir_server.model.reference import local, type_named
from fhir_server.outcome import Issue
from fhir_server.search.criteria import (
    MODIFIERS,
    OF_VALUE_SETS,
    REFUSED_MODIFIERS,
    REFUSED_PARAMETERS,
    Chain,
    Condition,
    Criterion,
    Has,
    Kind,
    SearchLimits,
)
from fhir_server.search.leaves import CODED, codes_of, leaves
from fhir_server.search.problems import BoundPassed, Problem, bad_code, bad_value, nearest, no_such, refused, too_many
from fhir_server.search.values import (
    ID_FORM,
    ReferenceValue,
    StringValue,
    TokenValue,
    UriValue,
    Value,
    ValueSetValue,
    parse_date,
    parse_id,
    parse_missing,
    parse_near,
    parse_number,
    parse_of_type,
    parse_quantity,
    parse_token,
    split,
    unescape,
    with_plus,
    without_boolean_system,
)

_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
"""What no FHIR string holds: control characters apart from tab and line ends, halves of surrogate pairs."""

_CANONICAL: Final = frozenset(("canonical", "uri"))
"""Types of elements whose URL need not be where the resource is."""


class Conditions:
    """Reads conditions against the definitions of a registry."""

    def __init__(self, registry: Registry, limits: SearchLimits, refuse_codes: bool) -> None:
        self.registry = registry
        self.limits = limits
        self.refuse_codes = refuse_codes
        self.warnings: list[Issue] = []
        """What finds nothing although it is not refused."""
        self._paths = 0

    def parameters(self, types: tuple[str, ...]) -> Mapping[str, SearchParameter]:
        """Return the search parameters that all the types have, by code."""
        first, *others = (self.registry.parameters(type_) for type_ in types)
        if not others:
            return first
        shared: dict[str, SearchParameter] = {}
        for code, parameter in first.items():
            same = [other.get(code) for other in others]
            if all(one is not None and one.type is parameter.type for one in same):
                targets = [parameter.targets, *(one.targets for one in same if one is not None)]
                union = frozenset().union(*targets) if all(targets) else frozenset[str]()
                shared[code] = replace(parameter, targets=union)
        return shared

    def read(
        self, types: tuple[str, ...], name: str, text: str, origin: str = "", depth: int = 0, also: Iterable[str] = ()
    ) -> Condition:
        """Return the condition of ``name=text`` on resources of ``types``.

        ``origin`` is the whole name the client sent, for messages; ``also`` are names that are valid there beside
        search parameters. Raises ``Problem``.
        """
        origin = origin or name
        if depth > self.limits.depth:
            raise too_many(origin, "links of chains and _has, or more", depth, self.limits.depth)
        self._paths += 1
        if self._paths > self.limits.paths:
            what = "conditions on target types, or more; name the types of chains (actor:Practitioner.name)"
            raise too_many(origin, what, self._paths, self.limits.paths)
        if re.split("[:.]", name, maxsplit=1)[0] == "_has":
            return self._has(types, name, text, origin, depth)
        head, dot, rest = name.partition(".")
        code, colon, modifier = head.partition(":")
        parameter = self._parameter(types, code, origin, also)
        if dot:
            return self._chain(types, parameter, modifier if colon else None, rest, text, origin, depth)
        if colon and not modifier:
            raise refused(origin, f"the empty modifier of {code}", _modifiers(parameter))
        return self._criterion(types, parameter, modifier or None, text, origin)

    def _parameter(self, types: tuple[str, ...], code: str, origin: str, also: Iterable[str]) -> SearchParameter:
        if code in REFUSED_PARAMETERS:
            raise refused(origin, f"the parameter {code}", REFUSED_PARAMETERS[code], is_unknown=True)
        parameters = self.parameters(types)
        parameter = parameters.get(code)
        if parameter is None:
            where = f"search parameter of {types[0]}" if len(types) == 1 else "search parameter common to these types"
            raise no_such(origin, where, code, (*parameters, "_has", *also), is_unknown=True)
        if parameter.type is Kind.COMPOSITE:
            raise refused(origin, f"the composite parameter {code}", "composites are not supported", is_unknown=True)
        return parameter

    # --- chains

    def _chain(
        self,
        types: tuple[str, ...],
        parameter: SearchParameter,
        filter_: str | None,
        rest: str,
        text: str,
        origin: str,
        depth: int,
    ) -> Chain:
        if parameter.type is not Kind.REFERENCE:
            raise refused(origin, f"a chain through {parameter.code}", f"it is a {parameter.type}, not a reference")
        targets: dict[str, tuple[Condition, ...]] = {}
        problems: list[Problem] = []
        warned, is_sound = len(self.warnings), False
        for target in self._targets(parameter, filter_, origin):
            before = len(self.warnings)
            try:
                targets[target] = (self.read((target,), rest, text, origin, depth + 1),)
            except BoundPassed:
                raise
            except Problem as problem:
                problems.append(problem)
            else:
                is_sound = is_sound or len(self.warnings) == before
        if is_sound:  # a code of one target type need not be one of another's
            del self.warnings[warned:]
        if not targets:
            known = [problem for problem in problems if not problem.is_unknown]
            raise (known or problems)[0]
        return Chain(types, parameter, targets)

    def _targets(self, parameter: SearchParameter, filter_: str | None, origin: str) -> list[str]:
        possible = parameter.targets & self.registry.types if parameter.targets else self.registry.types
        if filter_ is None:
            if not possible:
                valid = ", ".join(sorted(parameter.targets))
                raise refused(origin, f"a chain through {parameter.code}", f"its targets are not served: {valid}")
            return sorted(possible)
        if filter_ not in possible:
            raise no_such(origin, f"served target of {parameter.code}", filter_, possible, is_unknown=False)
        return [filter_]

    def _has(self, types: tuple[str, ...], name: str, text: str, origin: str, depth: int) -> Has:
        parts = name.split(":", 3)
        if len(parts) != 4 or not all(parts):
            raise bad_value(origin, "_has is written _has:Type:reference:parameter=value")
        _, type_, code, rest = parts
        if type_ not in self.registry.types:
            raise no_such(origin, "resource type", type_, self.registry.types, is_unknown=True)
        parameters = self.registry.parameters(type_)
        parameter = parameters.get(code)
        if parameter is None or parameter.type is not Kind.REFERENCE:
            references = [known for known, one in parameters.items() if one.type is Kind.REFERENCE]
            raise no_such(origin, f"reference parameter of {type_}", code, references, is_unknown=parameter is None)
        if parameter.targets and not parameter.targets & frozenset(types):
            raise bad_value(origin, f"{type_}:{code} refers to {', '.join(sorted(parameter.targets))} only")
        return Has(type_, parameter, (self.read((type_,), rest, text, origin, depth + 1),))

    # --- criteria

    def _criterion(
        self, types: tuple[str, ...], parameter: SearchParameter, modifier: str | None, text: str, origin: str
    ) -> Criterion:
        if modifier is not None:
            self._check_modifier(types, parameter, modifier, origin)
        if not text:
            raise bad_value(origin, "a value is missing")
        parts = split(text, ",")
        if len(parts) > self.limits.values:
            raise too_many(origin, "values", len(parts), self.limits.values)
        if modifier == "missing" and len(parts) > 1:
            raise bad_value(origin, "missing takes true or false")
        parse = _parser(parameter, modifier)
        if modifier in OF_VALUE_SETS:
            parse = partial(_parse_value_set, origin)
        values: list[Value] = []
        for part in parts:
            if not part:
                raise bad_value(origin, "a value between commas is empty; a comma inside a value is written \\,")
            if len(part) > self.limits.value_length:
                raise too_many(origin, "characters of a value", len(part), self.limits.value_length)
            if _FORBIDDEN.search(part):
                raise bad_value(origin, "a value holds a control character or half a surrogate pair")
            try:
                values.append(parse(part))
            except ValueError as error:
                raise bad_value(origin, str(error)) from None
        criterion = Criterion(types, parameter, modifier, tuple(dict.fromkeys(values)))
        self._check_codes(criterion, origin)
        self._check_targets(criterion, origin)
        return criterion

    def _check_modifier(self, types: tuple[str, ...], parameter: SearchParameter, modifier: str, origin: str) -> None:
        kind = parameter.type
        reason = REFUSED_MODIFIERS.get((kind, modifier))
        if reason:
            raise refused(origin, f"the modifier :{modifier} of {parameter.code}", reason)
        if modifier in MODIFIERS[kind]:
            found = [leaf for type_ in types for leaf in leaves(parameter, type_, self.registry.structures)]
            if modifier == "of-type" and found and all(leaf.type != "Identifier" for leaf in found):
                raise refused(origin, f"the modifier :of-type of {parameter.code}", "it is for identifiers")
            if modifier in OF_VALUE_SETS and not any(leaf.type in CODED for leaf in found):
                raise refused(origin, f"the modifier :{modifier} of {parameter.code}", "it is for codes")
            if parameter.code in ("_id", "_lastUpdated") and modifier in ("text", "of-type"):
                raise refused(origin, f"the modifier :{modifier} of {parameter.code}", _modifiers(parameter))
            return
        if kind is Kind.REFERENCE and modifier[:1].isupper():
            possible = parameter.targets or self.registry.structures.resource_types
            if modifier not in possible:
                raise no_such(origin, f"target of {parameter.code}", modifier, possible, is_unknown=False)
            return
        raise refused(origin, f"the modifier :{modifier[:60]} of {parameter.code}", _modifiers(parameter, modifier))

    def _check_codes(self, criterion: Criterion, origin: str) -> None:
        """Refuse what no resource can have: a code outside a required binding, a boolean that is none."""
        tokens = [value for value in criterion.values if isinstance(value, TokenValue)]
        if not tokens or criterion.modifier not in (None, "not"):
            return
        structures = self.registry.structures
        found = [leaf for type_ in criterion.types for leaf in leaves(criterion.parameter, type_, structures)]
        if found and all(leaf.type == "boolean" for leaf in found):
            if any(token.code not in ("true", "false") or without_boolean_system(token).system for token in tokens):
                raise bad_value(origin, "a boolean: true or false")
            return
        codes = codes_of(tuple(found), structures)
        if codes and not all(_is_among(token, codes) for token in tokens):
            problem = bad_code(origin, codes)
            if self.refuse_codes:
                raise problem
            self.warnings.append(problem.issue)

    def _check_targets(self, criterion: Criterion, origin: str) -> None:
        """Refuse a reference to a type that the parameter, or its modifier, does not lead to. A canonical URL, or one
        that is not of a FHIR server, names no type. The element of a selection may hold others: nothing is the answer.
        """
        texts = [value.text for value in criterion.values if isinstance(value, ReferenceValue)]
        structures, parameter = self.registry.structures, criterion.parameter
        found = [leaf.type for type_ in criterion.types for leaf in leaves(parameter, type_, structures)]
        if not texts or (found and _CANONICAL.issuperset(found)):
            return
        possible = parameter.targets or structures.resource_types
        if criterion.modifier is not None:
            possible = frozenset((criterion.modifier,))
        elif parameter.is_selection:
            possible = structures.resource_types
        for text in texts:
            named = type_named(text)
            is_type = named in structures.resource_types or local(text) is not None
            if named is not None and is_type and named not in possible:
                name = parameter.code if criterion.modifier is None else f"{parameter.code}:{criterion.modifier}"
                raise no_such(origin, f"target of {name}", named, possible, is_unknown=False)


def _is_among(token: TokenValue, codes: Mapping[str, frozenset[str]]) -> bool:
    """Return whether some value of a value set, given as code → systems, is a token's."""
    systems = frozenset().union(*codes.values()) if token.code is None else codes.get(token.code)
    return systems is not None and (not token.system or token.system in systems)


def understood(condition: Condition, text: str) -> str:
    """Return the text of a condition as it was read: what it says again when it is sent again."""
    is_date = all(one.parameter.type is Kind.DATE and one.modifier is None for one in _ends(condition))
    return with_plus(text) if is_date else text


def _ends(condition: Condition) -> Iterator[Criterion]:
    """Yield what the chains of a condition end at."""
    match condition:
        case Criterion():
            yield condition
        case Chain():
            for inner in condition.targets.values():
                yield from _ends(inner[0])
        case Has():
            yield from _ends(condition.conditions[0])


def _modifiers(parameter: SearchParameter, received: str = "") -> str:
    """Return which modifiers there are, and which one was probably meant."""
    names = [f":{name}" for name in MODIFIERS[parameter.type]]
    if parameter.code in ("_id", "_lastUpdated"):
        names = [name for name in names if name in (":not", ":missing")]
    if parameter.type is Kind.REFERENCE:
        names += [f":{target}" for target in sorted(parameter.targets)] or [":Type"]
    near = nearest(f":{received}", names) if received else None
    meant = f'; did you mean "{near}"?' if near else ""
    return f"a {parameter.type} has {', '.join(names) or 'no modifiers'}{meant}"


def _parser(parameter: SearchParameter, modifier: str | None) -> Callable[[str], Value]:
    """Return what reads one value, its escapes still in it."""
    by_modifier: dict[str | None, Callable[[str], Value]] = {
        "missing": parse_missing,
        "of-type": parse_of_type,
        "identifier": parse_token,
        "text": _parse_string,
        "above": _parse_url,
        "below": _parse_url,
    }
    return by_modifier.get(modifier) or (parse_id if parameter.code == "_id" else _PARSERS[parameter.type])


def _parse_reference(text: str) -> ReferenceValue:
    value = unescape(text)
    if ":" not in value and not ID.fullmatch(value) and local(value) is None:
        raise ValueError(f"a reference is id, Type/id, Type/id/_history/version or an absolute URL; {ID_FORM}")
    return ReferenceValue(value)


def _parse_string(text: str) -> StringValue:
    return StringValue(unescape(text))


def _parse_value_set(origin: str, text: str) -> ValueSetValue:
    return ValueSetValue(unescape(text), origin)


def _parse_url(text: str) -> UriValue:
    if text.lower().startswith("urn:"):
        raise ValueError("above and below are for URLs; a URN has no hierarchy")
    return UriValue(unescape(text))


def _parse_uri(text: str) -> UriValue:
    if text.endswith("|"):
        raise ValueError("a version is missing behind the |")
    return UriValue(unescape(text))


_PARSERS: Final[Mapping[Kind, Callable[[str], Value]]] = {
    Kind.STRING: _parse_string,
    Kind.TOKEN: parse_token,
    Kind.REFERENCE: _parse_reference,
    Kind.URI: _parse_uri,
    Kind.DATE: lambda text: parse_date(unescape(text), UTC),
    Kind.NUMBER: parse_number,
    Kind.QUANTITY: parse_quantity,
    Kind.SPECIAL: parse_near,
}
