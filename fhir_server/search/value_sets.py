"""The value sets that a search names by ``:in`` and ``:not-in``: which they are, and their codes in their place.

Spec: https://hl7.org/fhir/R4/search.html#modifiers
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from fhir_server.search.criteria import OF_VALUE_SETS, Chain, Condition, Criterion, Has, SearchRequest
from fhir_server.search.values import TokenValue, ValueSetValue

Codes: TypeAlias = Callable[[ValueSetValue], Sequence[TokenValue]]


def value_sets(request: SearchRequest) -> tuple[ValueSetValue, ...]:
    """Return the value sets whose codes a search needs, each once for each parameter that names it."""
    return tuple(dict.fromkeys(value for condition in request.criteria for value in _of(condition)))


def with_codes(request: SearchRequest, codes: Codes) -> SearchRequest:
    """Return the search with the codes of each value set in its place; other values stay."""
    return replace(request, criteria=tuple(_with_codes(condition, codes) for condition in request.criteria))


def _of(condition: Condition) -> Iterator[ValueSetValue]:
    match condition:
        case Criterion(_, _, modifier, values):
            if modifier in OF_VALUE_SETS:
                yield from (value for value in values if isinstance(value, ValueSetValue))
        case Chain(_, _, targets):
            for conditions in targets.values():
                for inner in conditions:
                    yield from _of(inner)
        case Has(_, _, conditions):
            for inner in conditions:
                yield from _of(inner)


def _with_codes(condition: Condition, codes: Codes) -> Condition:
    match condition:
        case Criterion(_, _, modifier, values) if modifier in OF_VALUE_SETS:
            found = [code for value in values for code in (codes(value) if isinstance(value, ValueSetValue) else ())]
            return replace(condition, values=tuple(dict.fromkeys(found)))
        case Chain(_, _, targets):
            inside: Mapping[str, tuple[Condition, ...]] = {
                type_: tuple(_with_codes(inner, codes) for inner in conditions) for type_, conditions in targets.items()
            }
            return replace(condition, targets=inside)
        case Has(_, _, conditions):
            return replace(condition, conditions=tuple(_with_codes(inner, codes) for inner in conditions))
    return condition
