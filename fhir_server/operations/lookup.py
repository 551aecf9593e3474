"""CodeSystem/$lookup: what a code means. https://hl7.org/fhir/R4/codesystem-operation-lookup.html"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fhir_server.definitions.library import Library
from fhir_server.definitions.operations import Level, Operation, Parameter, of_r4
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Response
from fhir_server.interactions.library import consult
from fhir_server.model.formats import serialize
from fhir_server.operations.call import Call, parameters
from fhir_server.operations.coded import coded
from fhir_server.terminology.displays import languages
from fhir_server.terminology.lookup import Found, look_up
from fhir_server.terminology.spelling import with_spellings

LOOKUP: Final[Operation] = of_r4(
    "CodeSystem-lookup",
    (Level.TYPE,),
    (
        Parameter("code", "code"),
        Parameter("system", "uri"),
        Parameter("version", "string"),
        Parameter("coding", "Coding"),
        Parameter("displayLanguage", "code"),
        Parameter("property", "code", max=None),
    ),
)


async def lookup(context: Context, call: Call) -> Response:
    """Return what the code system says of a code. Raises ``NotFound`` for one that is not there."""
    (asked,) = coded(call.values, ("code", "coding"))
    wanted = languages(call.values.text("displayLanguage"))

    def work(library: Library) -> Found:
        return look_up(library, asked.code, call.values.all("property"), wanted)

    async with context.store.snapshot() as snapshot:
        found = (await consult(context, snapshot, with_spellings(work, context.registry.aliases.system))).answer
    return Response(200, {}, (serialize(parameters(_told(found, asked.code.system))),))


def _told(found: Found, system: str) -> Iterator[tuple[str, str, Any]]:
    yield "system", "uri", None if found.system == system else found.system
    yield "name", "string", found.name
    yield "version", "string", found.version
    yield "display", "string", found.display
    for one in found.designations:
        parts = (("language", "code"), ("use", "Coding"), ("value", "string"))
        yield "designation", "part", [(name, type_, one.get(name)) for name, type_ in parts]
    if found.definition is not None:
        yield "property", "part", [("code", "code", "definition"), ("value", "string", found.definition)]
    for code, type_, value in found.properties:
        yield "property", "part", [("code", "code", code), ("value", type_, value)]
