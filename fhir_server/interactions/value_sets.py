"""The codes of the value sets that a search names, from what is loaded: known before the search is planned.

Spec: https://hl7.org/fhir/R4/search.html#modifiers
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from fhir_server.definitions.library import Library
from fhir_server.interactions.context import Context
from fhir_server.interactions.library import consult
from fhir_server.model.formats import Resource
from fhir_server.model.reference import Key, local
from fhir_server.outcome import BadRequest, FhirError, Issue, IssueType
from fhir_server.search.criteria import LIMITS, SearchRequest
from fhir_server.search.value_sets import value_sets, with_codes
from fhir_server.search.values import TokenValue, ValueSetValue
from fhir_server.storage.protocol import Snapshot
from fhir_server.terminology.expansion import Expander
from fhir_server.terminology.spelling import with_spellings


@dataclass(frozen=True, slots=True)
class Resolved:
    """A search that can be planned. ``remarks`` tell of value sets of which only a part is known, ``versions`` which
    stored resources it depends on."""

    request: SearchRequest
    remarks: tuple[Issue, ...] = ()
    versions: Mapping[Key, int | None] = field(default_factory=dict)


async def resolved(context: Context, snapshot: Snapshot, request: SearchRequest) -> Resolved:
    """Return a search with the codes of its value sets. Raises ``BadRequest`` for one that is not loaded, cannot be
    expanded, or has too many codes."""
    wanted = value_sets(request)
    if not wanted:
        return Resolved(request)
    named = await _named(context, snapshot, wanted)

    def work(library: Library) -> tuple[Mapping[ValueSetValue, list[TokenValue]], tuple[Issue, ...]]:
        return _codes(library, wanted, named)

    consulted = await consult(context, snapshot, with_spellings(work, context.registry.aliases.system))
    codes, remarks = consulted.answer
    versions = {key: int(one["meta"]["versionId"]) for key, one in named.values()}
    return Resolved(with_codes(request, codes.__getitem__), remarks, {**consulted.versions, **versions})


def unresolved(request: SearchRequest) -> SearchRequest:
    """Return a search to be planned only to see what else is wrong with it: its value sets have no codes."""
    return with_codes(request, lambda _: ())


async def _named(
    context: Context, snapshot: Snapshot, wanted: tuple[ValueSetValue, ...]
) -> dict[ValueSetValue, tuple[Key, Resource]]:
    """Return the value sets that are named by a reference. Raises ``BadRequest`` for one that is not there."""
    keys = {
        value: there.key
        for value in wanted
        if (there := local(value.text, context.bases)) is not None and there.key.type == "ValueSet"
    }
    stored = await snapshot.read(set(keys.values())) if keys else {}
    found: dict[ValueSetValue, tuple[Key, Resource]] = {}
    for value, key in keys.items():
        one = stored.get(key)
        if one is None or one.body is None:
            told = f"{value.parameter}: there is no {key}"
            raise BadRequest(Issue(IssueType.NOT_FOUND, told, (f"http.{value.parameter}",), id="terminology-unknown"))
        found[value] = key, await context.shelf.take(one)
    return found


def _codes(
    library: Library, wanted: tuple[ValueSetValue, ...], named: Mapping[ValueSetValue, tuple[Key, Resource]]
) -> tuple[dict[ValueSetValue, list[TokenValue]], tuple[Issue, ...]]:
    codes: dict[ValueSetValue, list[TokenValue]] = {}
    remarks: list[Issue] = []
    for value in wanted:
        expander = Expander(library)
        try:
            members = expander.within(named[value][1]) if value in named else expander.of(value.text)
        except FhirError as error:
            raise BadRequest(*_located(error, value)) from error
        codes[value] = [TokenValue(member.system, member.code) for member in members.values()]
        if sum(map(len, codes.values())) > LIMITS.codes:
            told = f"the value sets have more than {LIMITS.codes} codes; the bound is {LIMITS.codes}"
            raise BadRequest(Issue(IssueType.TOO_COSTLY, told, (f"http.{value.parameter}",), id="search-bound"))
        for canonical in expander.fragments:
            told = (
                f"{value.parameter}: of {canonical} only a part is here, so other codes of the value set are not known"
            )
            remarks.append(Issue(IssueType.NOT_FOUND, told, (f"http.{value.parameter}",), id="code-system-fragment"))
    return codes, tuple(remarks)


def _located(error: FhirError, value: ValueSetValue) -> Iterator[Issue]:
    for issue in error.issues:
        told = f"{value.parameter}: {issue.diagnostics}"
        yield replace(issue, diagnostics=told, expression=(f"http.{value.parameter}",))
