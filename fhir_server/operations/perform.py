"""operation: what is asked of a ``$name``, read, checked and done. https://hl7.org/fhir/R4/operations.html"""

from __future__ import annotations

from fhir_server.definitions.operations import Level
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.routes import Route
from fhir_server.operations.call import Call
from fhir_server.operations.reading import read
from fhir_server.operations.table import PERFORM


async def operation(context: Context, request: Request, route: Route) -> Response:
    """Return the answer of an operation. Raises ``BadRequest`` for what it is given, and what it raises itself."""
    asked = route.operation
    assert asked is not None  # noqa: S101 - told by the route
    level = Level.SYSTEM if route.type is None else Level.TYPE if route.id is None else Level.INSTANCE
    values = await read(context, request, asked.parameters_at(level))
    async with context.operating:
        return await PERFORM[asked](context, Call(asked, route.type, route.id, values, request))
