"""What a search asks that the index cannot tell yet: a parameter that is new or changed, until its reindex is done.

Answered now, it would show too little, or what is no longer so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fhir_server.definitions.registry import Registry
from fhir_server.outcome import Issue, IssueType
from fhir_server.search.criteria import Chain, Condition, Criterion, Has, Include, Kind, SearchRequest


def waiting(request: SearchRequest, registry: Registry) -> tuple[Issue, ...]:
    """Return an issue for each parameter of a search that awaits the reindex of its resources."""
    if not registry.oldest:
        return ()
    return tuple(dict.fromkeys(_found(request, registry)))


def _found(request: SearchRequest, registry: Registry) -> Iterator[Issue]:
    for condition in request.criteria:
        for way, code in _used(condition):
            if registry.is_waiting(way, code):
                yield _issue(code, code, way)
    for sort in request.sort:
        for type_ in request.types:
            if registry.is_waiting((type_,), sort.parameter.code):
                yield _issue("_sort", sort.parameter.code, (type_,))
    for name, includes in (("_include", request.includes), ("_revinclude", request.revincludes)):
        for type_, code in _references(includes, registry):
            if registry.is_waiting((type_,), code):
                yield _issue(name, code, (type_,))


def _used(condition: Condition, way: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the parameters of a condition, each with the type that has it last, and before it the types that may
    contain a resource of it."""
    match condition:
        case Criterion(types, parameter):
            yield from (((*way, type_), parameter.code) for type_ in types)
        case Chain(types, parameter, targets):
            yield from (((*way, type_), parameter.code) for type_ in types)
            for conditions in targets.values():
                for inner in conditions:
                    yield from _used(inner, (*way, *types))
        case Has(type_, parameter, conditions):  # nothing refers to what is contained from outside
            yield (type_,), parameter.code
            for inner in conditions:
                yield from _used(inner)


def _references(includes: Iterable[Include], registry: Registry) -> Iterator[tuple[str, str]]:
    """Yield the (type, code) that are followed; a wildcard follows every reference parameter."""
    for include in includes:
        for type_ in sorted(registry.types) if include.type is None else (include.type,):
            if include.code is not None:
                yield type_, include.code
            else:
                parameters = registry.parameters(type_).values()
                yield from ((type_, one.code) for one in parameters if one.type is Kind.REFERENCE)


def _issue(name: str, code: str, way: tuple[str, ...]) -> Issue:
    *_, type_ = way
    resources = ", ".join(sorted(set(way)))
    text = (
        f'"{code}" of {type_} is new or has changed, and resources are being reindexed for it ({resources}); '
        "it answers as soon as that is done: try again"
    )
    return Issue(IssueType.TRANSIENT, text, (f"http.{name}",), id="search-parameter-reindexing")
