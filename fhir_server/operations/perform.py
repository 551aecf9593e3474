"""operation: what is asked of a ``$name``, read, checked and done. https://hl7.org/fhir/R4/operations.html"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fhir_server.definitions.operations import Level
from fhir_server.interactions.context import OPERATIONS_AT_ONCE, Context
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.routes import Route
from fhir_server.operations.call import Call
from fhir_server.operations.reading import read
from fhir_server.operations.table import PERFORM
from fhir_server.outcome import Issue, IssueType, Unavailable

RETRY_SECONDS: Final = 5
"""When one that found no turn may come back: most operations are over by then."""


async def operation(context: Context, request: Request, route: Route) -> Response:
    """Return the answer of an operation.

    Raises ``BadRequest`` for what it is given, ``Unavailable`` where those at work leave it no turn, and what it raises
    itself.
    """
    asked = route.operation
    assert asked is not None  # noqa: S101 - told by the route
    level = Level.SYSTEM if route.type is None else Level.TYPE if route.id is None else Level.INSTANCE
    values = await read(context, request, asked.parameters_at(level))
    async with _turn(context):
        return await PERFORM[asked](context, Call(asked, route.type, route.id, values, request))


@asynccontextmanager
async def _turn(context: Context) -> AsyncIterator[None]:
    """Hold one of the places of those at work. Raises ``Unavailable`` if there is none in time."""
    wait = context.limits.operation_wait_seconds
    try:
        async with asyncio.timeout(wait):
            await context.operating.acquire()
    except TimeoutError:
        told = (
            f"{OPERATIONS_AT_ONCE} operations work at once, and none of them was over within {wait:g} seconds, the "
            "bound of FHIR_OPERATION_WAIT_SECONDS; try again"
        )
        issue = Issue(IssueType.TRANSIENT, told, id="operations-busy")
        raise Unavailable(issue, headers={"Retry-After": str(RETRY_SECONDS)}) from None
    try:
        yield
    finally:
        context.operating.release()
