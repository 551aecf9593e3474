"""An operation of the tests' own, which answers with what it was given, and one that changes something."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from fhir_server.definitions.operations import ALL_TYPES, Level, Parameter, of_r4
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Response
from fhir_server.model.formats import serialize
from fhir_server.operations.call import Call, parameters

AT_TYPES: Final = frozenset((Level.SYSTEM, Level.TYPE))

ECHO: Final = of_r4(
    "Resource-echo",
    Level,
    (
        Parameter("text", "string"),
        Parameter("times", "integer"),
        Parameter("loud", "boolean"),
        Parameter("at", "dateTime"),
        Parameter("url", "uri", levels=AT_TYPES),
        Parameter("ratio", "decimal"),
        Parameter("coding", "Coding", max=None),
        Parameter("valueSet", "ValueSet"),
        Parameter("resource", "Resource"),
        Parameter("dependency", "", max=None, parts=(Parameter("element", "uri", min=1), Parameter("note", "string"))),
    ),
    types=(ALL_TYPES,),
)
"""Takes a parameter of each sort. A bare resource could be ``resource`` only, or also ``valueSet``."""

NEEDY: Final = of_r4(
    "ValueSet-needy", [Level.TYPE], (Parameter("url", "uri", min=1), Parameter("valueSet", "ValueSet"))
)
CHANGE: Final = replace(ECHO, name="change", url=f"{ECHO.url}-change", affects_state=True)


async def echo(_context: Context, call: Call) -> Response:
    """Answer with the names and values given, those of parts behind a dot."""
    told: list[tuple[str, str, Any]] = [("called", "string", f"{call.type}/{call.id}")]
    for one in call.values.given:
        told += [(f"{one.name}.{part.name}", "string", f"{part.value}") for part in one.parts]
        if not one.parts:
            told.append((one.name, "string", f"{one.value}"))
    return Response(200, {}, (serialize(parameters(told)),))
