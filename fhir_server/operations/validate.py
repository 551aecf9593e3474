"""$validate: what would be said of a resource, if it were written or held against profiles. Nothing is written.

Spec: https://hl7.org/fhir/R4/resource-operation-validate.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fhir_server.definitions.library import Library
from fhir_server.definitions.operations import ALL_TYPES, Level, Operation, Parameter, of_r4
from fhir_server.interactions.context import Context
from fhir_server.interactions.draft import check
from fhir_server.interactions.exchange import Response
from fhir_server.interactions.library import consult_each
from fhir_server.interactions.pace import aside
from fhir_server.interactions.preparing import weight
from fhir_server.interactions.profiles import conformance
from fhir_server.interactions.read import present
from fhir_server.interactions.routes import served
from fhir_server.interactions.writing.write import Intent, rehearse
from fhir_server.model.formats import Resource, parse, serialize
from fhir_server.model.interaction import Interaction
from fhir_server.model.primitives import ID
from fhir_server.model.reference import Key
from fhir_server.operations.call import Call
from fhir_server.outcome import BadRequest, FhirError, Issue, IssueType, Severity, operation_outcome

VALIDATE: Final[Operation] = of_r4(
    "Resource-validate",
    (Level.TYPE, Level.INSTANCE),
    (Parameter("resource", "Resource"), Parameter("mode", "code"), Parameter("profile", "uri", max=None)),
    types=(ALL_TYPES,),
)


class Mode(StrEnum):
    """What the resource is checked for. Spec: https://hl7.org/fhir/R4/valueset-resource-validation-mode.html"""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    PROFILE = "profile"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be validated: a resource, or with ``mode`` delete the one of the URL."""

    type: str
    id: str | None
    mode: Mode | None
    resource: Resource | None


async def validate(context: Context, call: Call) -> Response:
    """Return an OperationOutcome of all issues, or that there are none: 200 either way.

    Raises ``BadRequest`` for parameters that leave nothing to do, ``NotFound`` or ``Gone`` for what the URL names.
    """
    asked = await _asked(context, call)
    issues: list[Issue] = []
    if asked.resource is not None:
        issues += _misplaced(asked)
        issues += await _content(context, asked.resource, call.values.all("profile"))
    if not any(issue.is_error for issue in issues) and (intent := _intent(asked)) is not None:
        issues += await _rehearsed(context, intent)
    if not issues:
        issues.append(Issue(IssueType.INFORMATIONAL, "no issue was found", severity=Severity.INFORMATION, id="valid"))
    return Response(200, {}, (serialize(operation_outcome(list(dict.fromkeys(issues)))),))


async def _asked(context: Context, call: Call) -> _Asked:
    mode, resource = _mode(call), call.values.object("resource")
    if mode is Mode.PROFILE and not call.values.has("profile"):
        raise _unusable("mode profile needs a profile", "profile", IssueType.REQUIRED)
    if call.id is None:
        if mode is Mode.DELETE:
            raise _unusable("mode delete is asked of a resource: [type]/[id]/$validate", "mode")
        if resource is None:
            raise _unusable("there is no resource to validate", "resource", IssueType.REQUIRED)
        return _Asked(call.type or "", None, mode, resource)
    if mode is Mode.CREATE:
        raise _unusable("mode create is asked of a type: [type]/$validate", "mode")
    key = Key(call.type or "", call.id)
    stored = (await context.store.read(key)) if resource is None or mode is Mode.DELETE else None
    if mode is Mode.DELETE:
        present(key, stored)
        return _Asked(key.type, key.id, mode, None)
    if resource is None:
        body = present(key, stored).body or b""
        resource = await aside(len(body), parse, body)
        assert isinstance(resource, dict)  # noqa: S101 - what is stored is a resource
    return _Asked(key.type, key.id, mode, resource)


def _mode(call: Call) -> Mode | None:
    text = call.values.text("mode")
    if text is None:
        return None
    try:
        return Mode(text)
    except ValueError:
        raise _unusable(f"there is no such mode; there are {', '.join(Mode)}", "mode") from None


def _unusable(told: str, name: str, code: IssueType = IssueType.VALUE) -> BadRequest:
    return BadRequest(Issue(code, told, (f"http.{name}",), id="operation-parameters"))


def _misplaced(asked: _Asked) -> list[Issue]:
    """Return the issues of a resource of another type or id than the URL says."""
    resource = asked.resource or {}
    given, id_ = resource.get("resourceType"), resource.get("id")
    if isinstance(given, str) and given != asked.type:
        told = f"the URL asks for {asked.type}; the resource has another type"
        return [Issue(IssueType.VALUE, told, (f"{asked.type}.resourceType",), id="resource-type-mismatch")]
    if asked.id is not None and id_ != asked.id and (id_ is not None or asked.mode is Mode.UPDATE):
        told = "the resource has another id than the URL" if id_ is not None else "the resource has no id; the URL has"
        return [Issue(IssueType.VALUE, told, (f"{asked.type}.id",), id="id-mismatch")]
    if asked.id is None and asked.mode is Mode.UPDATE and not (isinstance(id_, str) and ID.fullmatch(id_)):
        told = "an update needs the id of what it updates"
        return [Issue(IssueType.VALUE, told, (f"{asked.type}.id",), id="id-mismatch")]
    return []


async def _content(context: Context, resource: Resource, profiles: Sequence[str]) -> list[Issue]:
    """Return what is wrong with a resource by itself: against R4, the rules of guides, and profiles."""
    size = weight(resource, context.limits.body_bytes)
    errors, warnings = await aside(size, check, context.tools, resource)
    structures = context.registry.structures

    def work(library: Library) -> list[Issue]:
        return conformance(structures, library, resource, profiles)

    kind = f"$validate {resource.get('resourceType')}"
    async with context.store.snapshot() as snapshot:
        consulted = await consult_each(context, snapshot, [work], size, context.shelf.ahead(kind))
    context.shelf.remember(kind, consulted.asked)
    return [*errors, *warnings, *consulted.answer[0]]


def _intent(asked: _Asked) -> Intent | None:
    """Return the write that is asked about, None if none is."""
    resource = asked.resource or {}
    match asked.mode:
        case Mode.CREATE:
            without_id = {name: value for name, value in resource.items() if name != "id"}
            return Intent(Interaction.CREATE, asked.type, resource=without_id)
        case Mode.UPDATE:
            return Intent(Interaction.UPDATE, asked.type, id=asked.id or resource["id"], resource=resource)
        case Mode.DELETE:
            return Intent(Interaction.DELETE, asked.type, id=asked.id)
    return None


async def _rehearsed(context: Context, intent: Intent) -> list[Issue]:
    """Return why a write would be refused, and what it would be warned of."""
    try:
        served(intent.type, context.registry)
        (written,) = await rehearse(context, [intent])
    except FhirError as error:
        return list(error.issues)
    return list(written.warnings)
