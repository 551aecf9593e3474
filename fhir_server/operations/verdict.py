"""What both operations ``$validate-code`` answer with.

Spec: https://hl7.org/fhir/R4/valueset-operation-validate-code.html
"""

from __future__ import annotations

from fhir_server.interactions.exchange import Response
from fhir_server.model.formats import serialize
from fhir_server.operations.call import parameters
from fhir_server.outcome import Issue, IssueType, Unprocessable
from fhir_server.terminology.validate_code import Verdict


def answered(verdict: Verdict) -> Response:
    """Return the Parameters of a verdict. Raises ``Unprocessable`` where there is none: to say no would be a guess."""
    if verdict.is_valid is None:
        raise Unprocessable(Issue(IssueType.NOT_FOUND, verdict.message or "", id="code-not-told"))
    told = (
        ("result", "boolean", verdict.is_valid),
        ("message", "string", verdict.message),
        ("display", "string", verdict.display),
    )
    return Response(200, {}, (serialize(parameters(told)),))
