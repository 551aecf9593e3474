"""CodeSystem/$validate-code: whether a code is one of a code system.

Spec: https://hl7.org/fhir/R4/codesystem-operation-validate-code.html
"""

from __future__ import annotations

from typing import Final

from fhir_server.definitions.library import Library, split
from fhir_server.definitions.operations import Level, Operation, Parameter, of_r4
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Response
from fhir_server.operations.call import Call
from fhir_server.operations.coded import coded
from fhir_server.operations.resources import named
from fhir_server.operations.verdict import ABOUT_A_CODE, judged, wish_of
from fhir_server.terminology.finding import code_system
from fhir_server.terminology.problems import unknown
from fhir_server.terminology.validate_code import Verdict, in_code_system

_TYPE: Final = frozenset((Level.TYPE,))

VALIDATE_CODE: Final[Operation] = of_r4(
    "CodeSystem-validate-code",
    (Level.TYPE, Level.INSTANCE),
    (
        Parameter("url", "uri", levels=_TYPE),
        Parameter("codeSystem", "CodeSystem", levels=_TYPE),
        Parameter("code", "code"),
        Parameter("version", "string"),
        *ABOUT_A_CODE,
    ),
)


async def validate_code(context: Context, call: Call) -> Response:
    """Return whether a coding is a code of its system: the one named or given, or that of the coding.

    Raises ``NotFound`` for one that is not loaded, ``Unprocessable`` where it cannot be told.
    """
    values = call.values
    wish = wish_of(values)
    async with context.store.snapshot() as snapshot:
        is_needed = values.has("code")
        given = await named(context, call, snapshot, "codeSystem", "version", is_needed=is_needed)
        url = given if isinstance(given, str) else (given or {}).get("url")
        several = coded(values, system=split(url)[0] if url else None)

        def work(library: Library) -> Verdict:
            if not isinstance(given, str):
                return in_code_system(library, given, several, wish)
            system = code_system(library, *split(given))
            if system is None:
                raise unknown("CodeSystem", given, values.at("url"))
            return in_code_system(library, system.resource, several, wish)

        return await judged(context, call, snapshot, work)
