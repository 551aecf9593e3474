"""What both operations ``$validate-code`` share: what may be said of a code, and what is answered.

Spec: https://hl7.org/fhir/R4/valueset-operation-validate-code.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fhir_server.definitions.library import Library
from fhir_server.definitions.operations import Parameter
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Response
from fhir_server.interactions.library import consult
from fhir_server.model.formats import serialize
from fhir_server.operations.call import Call, Values, parameters
from fhir_server.outcome import Issue, IssueType, Unprocessable
from fhir_server.storage.protocol import Snapshot
from fhir_server.terminology.displays import languages
from fhir_server.terminology.spelling import with_spellings
from fhir_server.terminology.validate_code import Verdict, Wish

ABOUT_A_CODE: Final = (
    Parameter("display", "string"),
    Parameter("coding", "Coding"),
    Parameter("codeableConcept", "CodeableConcept"),
    Parameter("abstract", "boolean"),
    Parameter("displayLanguage", "code"),
)


def wish_of(values: Values) -> Wish:
    """Return how a code is to be judged."""
    return Wish(languages(values.text("displayLanguage")), values.flag("abstract"))


async def judged(context: Context, call: Call, snapshot: Snapshot, work: Callable[[Library], Verdict]) -> Response:
    """Return the answer of what judges a code by the definitions that are stored. Raises what it raises."""
    spelled = with_spellings(work, context.registry.aliases.system)
    return _answered((await consult(context, snapshot, spelled, len(call.request.body))).answer)


def _answered(verdict: Verdict) -> Response:
    """Return the Parameters of a verdict. Raises ``Unprocessable`` where there is none: to say no would be a guess."""
    if verdict.is_valid is None:
        raise Unprocessable(Issue(IssueType.NOT_FOUND, verdict.message or "", id="code-not-told"))
    told = (
        ("result", "boolean", verdict.is_valid),
        ("message", "string", verdict.message),
        ("display", "string", verdict.display),
        ("system", "uri", verdict.system),
    )
    return Response(200, {}, (serialize(parameters(told)),))
