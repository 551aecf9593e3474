"""ConceptMap/$translate: a code of one system in another. https://hl7.org/fhir/R4/conceptmap-operation-translate.html"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from fhir_server.definitions.library import Library
from fhir_server.definitions.operations import Level, Operation, Parameter, of_r4
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Response
from fhir_server.interactions.library import consult
from fhir_server.model.formats import Resource, serialize
from fhir_server.operations.call import Call, Values, parameters
from fhir_server.operations.coded import coded
from fhir_server.operations.resources import Named, named
from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.search.query import Equal, Page, Query
from fhir_server.storage.protocol import Snapshot
from fhir_server.terminology.membership import Code
from fhir_server.terminology.spelling import otherwise, with_spellings
from fhir_server.terminology.translation import Asked, Match, demanded, translate

MAPS: Final = 200
"""Concept maps that are read where none is named."""

_TYPE: Final = frozenset((Level.TYPE,))

TRANSLATE: Final[Operation] = of_r4(
    "ConceptMap-translate",
    (Level.TYPE, Level.INSTANCE),
    (
        Parameter("url", "uri", levels=_TYPE),
        Parameter("conceptMap", "ConceptMap", levels=_TYPE),
        Parameter("conceptMapVersion", "string", levels=_TYPE),
        Parameter("code", "code"),
        Parameter("system", "uri"),
        Parameter("version", "string"),
        Parameter("source", "uri"),
        Parameter("coding", "Coding"),
        Parameter("codeableConcept", "CodeableConcept"),
        Parameter("target", "uri"),
        Parameter("targetsystem", "uri"),
        Parameter(
            "dependency", "", max=None, parts=(Parameter("element", "uri"), Parameter("concept", "CodeableConcept"))
        ),
        Parameter("reverse", "boolean"),
    ),
)


async def translate_code(context: Context, call: Call) -> Response:
    """Return the translations that the concept maps have: the one named or given, or all that are loaded and active."""
    values = call.values
    asked = Asked(
        tuple(one.code for one in coded(values)),
        values.text("targetsystem"),
        values.text("target"),
        values.text("source"),
        values.flag("reverse"),
        frozenset(_dependencies(values)),
    )
    async with context.store.snapshot() as snapshot:
        given = await named(context, call, snapshot, "conceptMap", "conceptMapVersion", is_needed=False)
        maps: Sequence[Named] = await _loaded(context, snapshot, asked) if given is None else [given]

        def work(library: Library) -> tuple[list[Match], dict[str, None]]:
            found = [demanded(library, one) if isinstance(one, str) else one for one in maps]
            understood = (otherwise(library, code.system) for code in asked.codes)
            return translate(library, found, asked), dict.fromkeys(one for one in understood if one is not None)

        spelled = with_spellings(work, context.registry.aliases.system)
        matches, understood = (await consult(context, snapshot, spelled, len(call.request.body))).answer
    told = (*_told(matches), *(("system", "uri", system) for system in understood))
    return Response(200, {}, (serialize(parameters(told)),))


def _dependencies(values: Values) -> Iterator[tuple[str, str, str]]:
    for one in values.given:
        if one.name != "dependency":
            continue
        parts = {part.name: part.value for part in one.parts}
        for coding in parts.get("concept", {}).get("coding", ()):
            yield parts.get("element", ""), coding.get("system", ""), coding.get("code", "")


async def _loaded(context: Context, snapshot: Snapshot, asked: Asked) -> list[Resource]:
    """Return the concept maps, but for retired ones, that may know of the codes: by the systems of their groups."""
    compared = context.registry.aliases.system
    systems = tuple(dict.fromkeys(one for code in asked.codes for one in (code.system, compared(code.system))))
    query = Query(("ConceptMap",), Equal("target-system" if asked.is_reverse else "source-system", systems))
    matches = await snapshot.search(query, Page(MAPS))
    if matches.more:
        told = f"more than {MAPS} concept maps are about this code system; name one by url"
        raise BadRequest(Issue(IssueType.TOO_COSTLY, told, ("http",), id="terminology-too-costly"))
    maps = [await context.shelf.take(match.stored) for match in matches.matches]
    return [one for one in maps if one.get("status") != "retired"]


def _told(matches: Sequence[Match]) -> Iterator[tuple[str, str, Any]]:
    yield "result", "boolean", any(match.is_one for match in matches)
    if not matches:
        yield "message", "string", "no concept map that is loaded has a translation"
    for match in matches:
        concept = None if match.code is None else _coding(match.code, match.display)
        products = [
            ("product", "part", [("element", "uri", element), ("concept", "Coding", _coding(code, text))])
            for element, code, text in match.products
        ]
        parts = [("equivalence", "code", match.equivalence), ("concept", "Coding", concept), *products]
        yield "match", "part", [*parts, ("source", "uri", match.source or None)]


def _coding(code: Code, display: str | None) -> dict[str, Any]:
    told = {"system": code.system, "version": code.version, "code": code.code, "display": display}
    return {name: value for name, value in told.items() if value}
