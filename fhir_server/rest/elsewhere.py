"""What is not under the FHIR base path, and is nothing else either: the answer says where to look instead."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from fhir_server.model.formats import serialize
from fhir_server.model.media_types import FHIR_JSON
from fhir_server.outcome import Issue, IssueType, operation_outcome


def pointing(base_path: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return what answers a path or method that is not served: an OperationOutcome with the status of the error."""
    told = (
        f"there is nothing here; the FHIR base path is {base_path}, what it serves stands in {base_path}/metadata, "
        "and /docs describes it"
    )
    body = serialize(operation_outcome([Issue(IssueType.NOT_FOUND, told, ("http",), id="path-unknown")]))

    async def answer(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for no other
        return Response(body, error.status_code, error.headers, media_type=FHIR_JSON)

    return answer
