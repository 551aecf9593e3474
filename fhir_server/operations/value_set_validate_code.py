"""ValueSet/$validate-code: whether a code is in a value set.

Spec: https://hl7.org/fhir/R4/valueset-operation-validate-code.html
"""

from __future__ import annotations

from typing import Final

from fhir_server.definitions.library import Library
from fhir_server.definitions.operations import Level, Operation, Parameter, of_r4
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Response
from fhir_server.operations.call import Call
from fhir_server.operations.coded import coded
from fhir_server.operations.resources import named
from fhir_server.operations.verdict import ABOUT_A_CODE, judged, wish_of
from fhir_server.terminology.finding import demanded
from fhir_server.terminology.validate_code import Verdict, in_value_set

_TYPE: Final = frozenset((Level.TYPE,))

VALIDATE_CODE: Final[Operation] = of_r4(
    "ValueSet-validate-code",
    (Level.TYPE, Level.INSTANCE),
    (
        Parameter("url", "uri", levels=_TYPE),
        Parameter("valueSet", "ValueSet", levels=_TYPE),
        Parameter("valueSetVersion", "string", levels=_TYPE),
        Parameter("code", "code"),
        Parameter("system", "uri"),
        Parameter("systemVersion", "string"),
        *ABOUT_A_CODE,
    ),
)


async def validate_code(context: Context, call: Call) -> Response:
    """Return whether a coding is in the value set. Raises ``NotFound`` for a value set that is not loaded,
    ``Unprocessable`` where it cannot be told."""
    values = call.values
    several = coded(values)
    wish = wish_of(values)
    async with context.store.snapshot() as snapshot:
        value_set = await named(context, call, snapshot, "valueSet", "valueSetVersion")
        assert value_set is not None  # noqa: S101 - it is needed

        def work(library: Library) -> Verdict:
            if isinstance(value_set, str):
                demanded(library, value_set, values.at("url"))
            return in_value_set(library, value_set, several, wish)

        return await judged(context, call, snapshot, work)
