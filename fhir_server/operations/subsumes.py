"""CodeSystem/$subsumes: which of two codes is above the other.

Spec: https://hl7.org/fhir/R4/codesystem-operation-subsumes.html
"""

from __future__ import annotations

from typing import Final

from fhir_server.definitions.library import Library
from fhir_server.definitions.operations import Level, Operation, Parameter, of_r4
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Response
from fhir_server.interactions.library import consult
from fhir_server.model.formats import serialize
from fhir_server.operations.call import Call, parameters
from fhir_server.operations.resources import subject
from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.terminology.finding import code_system, concepts_of
from fhir_server.terminology.problems import unknown
from fhir_server.terminology.spelling import meant, with_spellings
from fhir_server.terminology.subsumption import subsumption

_TYPE: Final = frozenset((Level.TYPE,))

SUBSUMES: Final[Operation] = of_r4(
    "CodeSystem-subsumes",
    (Level.TYPE, Level.INSTANCE),
    (
        Parameter("codeA", "code"),
        Parameter("codeB", "code"),
        Parameter("system", "uri", levels=_TYPE),
        Parameter("version", "string", levels=_TYPE),
        Parameter("codingA", "Coding"),
        Parameter("codingB", "Coding"),
    ),
)


async def subsumes(context: Context, call: Call) -> Response:
    """Return how the first code is to the second. Raises ``NotFound`` for a code or code system that is not there."""
    (first, system_a), (second, system_b) = _asked(call, "A"), _asked(call, "B")
    version = call.values.text("version")
    async with context.store.snapshot() as snapshot:
        resource = await subject(context, call, snapshot)
        own = None if resource is None else resource.get("url")
        said = {one for one in (system_a, system_b, call.values.text("system"), own) if one is not None}

        def work(library: Library) -> tuple[str, str | None]:
            systems = {meant(library, one) for one in said}
            if len(systems) != 1:
                told = "the codes need one system, the same for both"
                raise BadRequest(Issue(IssueType.INVALID, told, (call.values.at("system"),), id="operation-parameters"))
            (system,) = systems
            known = concepts_of(resource) if resource is not None else code_system(library, system, version)
            if known is None:
                raise unknown("CodeSystem", f"{system}|{version}" if version else system)
            return subsumption(known, first, second), None if said == systems else system

        spelled = with_spellings(work, context.registry.aliases.system)
        outcome, understood = (await consult(context, snapshot, spelled)).answer
    return Response(200, {}, (serialize(parameters([("outcome", "code", outcome), ("system", "uri", understood)])),))


def _asked(call: Call, which: str) -> tuple[str, str | None]:
    """Return one of the codes, and its system where it says one."""
    if call.values.one_of((f"code{which}", f"coding{which}")) == f"code{which}":
        return call.values.text(f"code{which}") or "", None
    coding = call.values.object(f"coding{which}") or {}
    if "code" not in coding:
        at = call.values.at(f"coding{which}")
        raise BadRequest(Issue(IssueType.REQUIRED, "a Coding needs a code", (at,), id="operation-parameters"))
    return coding["code"], coding.get("system")
