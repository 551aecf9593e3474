"""A bug of ours: the client gets the id of its request, the log has the trace."""

from __future__ import annotations

import logging
from typing import Final

from fhir_server.outcome import FhirError, Issue, IssueType, Severity

_LOG: Final = logging.getLogger(__name__)


def failure(request_id: str) -> FhirError:
    """Log the exception that is being handled, and return what its client is told."""
    _LOG.exception("unexpected", extra={"request_id": request_id})
    told = f"the server failed; tell its operator the request id {request_id}"
    return FhirError(Issue(IssueType.EXCEPTION, told, severity=Severity.FATAL, id="server-failed"))
