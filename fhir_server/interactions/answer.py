"""What a write answers with. https://hl7.org/fhir/R4/http.html#ops"""

from __future__ import annotations

from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.headers import Return, of_version, preferences
from fhir_server.interactions.writing.write import Written
from fhir_server.model.formats import serialize
from fhir_server.outcome import Issue, IssueType, Severity, operation_outcome


def answer(context: Context, request: Request, written: Written) -> Response:
    """Return the response of one write: headers of the version now current, body as ``Prefer`` asks."""
    stored = written.stored
    headers = of_version(stored) if stored is not None else {}
    if stored is None or stored.body is None:
        return _deleted(request, written, headers)
    headers["Location"] = context.url(stored.key, stored.version)
    match preferences(request.headers).returns:
        case Return.MINIMAL:
            body: tuple[bytes, ...] = ()
        case Return.OUTCOME:
            body = (outcome(written),)
        case _:
            body = (stored.body,)
    return Response(written.status, headers, body, stored.instant, written.warnings)


def outcome(written: Written) -> bytes:
    """Return the OperationOutcome of a write that was done: its warnings, or that all is well."""
    done = Issue(IssueType.INFORMATIONAL, _what(written), severity=Severity.INFORMATION)
    return serialize(operation_outcome([done, *written.warnings]))


def _deleted(request: Request, written: Written, headers: dict[str, str]) -> Response:
    if preferences(request.headers).returns is Return.OUTCOME:
        return Response(200, headers, (outcome(written),))
    modified = written.stored.instant if written.stored else None
    return Response(204, headers, modified=modified, issues=written.warnings)


def _what(written: Written) -> str:
    if written.stored is None or written.stored.body is None:
        return f"deleted: {len(written.removed)}"
    return f"{'created' if written.status == 201 else 'stored'}: {written.stored.key}, version {written.stored.version}"
