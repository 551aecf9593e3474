"""A resource made ready to be stored: checked, indexed and written down but for its version and instant.

Only the log can tell the version and the instant, so the plan puts them into bytes prepared before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from fhir_server.interactions.paths import located
from fhir_server.interactions.tools import Tools
from fhir_server.model.formats import Resource, serialize
from fhir_server.model.primitives import instant
from fhir_server.model.reference import Key
from fhir_server.outcome import BadRequest, Issue, IssueType, Unprocessable
from fhir_server.search.definition import faults
from fhir_server.search.query import IndexEntry
from fhir_server.validation.kinds import status_of

_BETWEEN: Final = b'","lastUpdated":"'
_SERVER_SET: Final = ("versionId", "lastUpdated")


class Draft(NamedTuple):
    """The body around ``meta.versionId`` and ``meta.lastUpdated``, and what the resource is found by."""

    before: bytes
    after: bytes
    entries: tuple[IndexEntry, ...]
    generation: int
    warnings: tuple[Issue, ...]

    def stamped(self, version: int, micros: int) -> bytes:
        """Return the body of one version: ``micros`` is its instant since the epoch."""
        return b"%b%d%b%b%b" % (self.before, version, _BETWEEN, instant(micros).encode(), self.after)

    def says(self, body: bytes) -> bool:
        """Tell whether a stored body has this very content, whatever its version and instant."""
        return body.startswith(self.before) and body.endswith(self.after) and self._stamp_between(body)

    def _stamp_between(self, body: bytes) -> bool:
        version, between, moment = body[len(self.before) : len(body) - len(self.after)].partition(_BETWEEN)
        return bool(between) and version.isdigit() and len(moment) == len("2026-01-05T08:00:00.123Z")


class Raw(NamedTuple):
    """A resource to be made ready; ``at`` is the Bundle entry it came from, or empty."""

    resource: Resource
    key: Key
    at: str


Ready: TypeAlias = Draft | list[Issue]
"""What is to be stored, or what forbids it."""


def prepared(tools: Tools, raw: Raw) -> Ready:
    """Check, index and write down one resource."""
    errors, warnings = check(tools, raw.resource, raw.at)
    if errors:
        return errors
    return draft(tools, raw.resource, raw.key)._replace(warnings=tuple(warnings))


def draft(tools: Tools, resource: Resource, key: Key) -> Draft:
    """Return what is to be stored under ``key``, from a resource that ``check`` has passed."""
    before, after = written(resource, key)
    entries = tools.indexer.entries({**resource, "id": key.id})  # its own compartment is among them
    return Draft(before, after, entries, tools.registry.generation, ())


def written(resource: Resource, key: Key) -> tuple[bytes, bytes]:
    """Return the JSON of a resource around its version and instant: type, id and meta first, the rest as it came."""
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in _SERVER_SET}
    rest = {name: value for name, value in resource.items() if name not in {"resourceType", "id", "meta"}}
    before = f'{{"resourceType":"{key.type}","id":"{key.id}","meta":{{"versionId":"'.encode()
    return before, b'"' + _members(meta) + b"}" + _members(rest) + b"}"


def check(tools: Tools, resource: Resource, at: str = "") -> tuple[list[Issue], list[Issue]]:
    """Return what forbids storing a resource, and the warnings. ``at`` is put before each path: ``Bundle.entry[3]``."""
    errors: list[Issue] = []
    warnings: list[Issue] = []
    issues = [*tools.validator.validate(resource), *_rules(resource)]
    if not any(issue.is_error for issue in issues):
        if resource.get("resourceType") == "SearchParameter":
            issues.extend(faults(resource, tools.registry))
        for of_guide in tools.checks:
            issues.extend(of_guide(resource))
    for issue in issues:
        (errors if issue.is_error else warnings).append(located(issue, at))
    return errors, warnings


def _rules(resource: Resource) -> Iterator[Issue]:
    """Yield what this server refuses although it is FHIR: what it would promise and not do."""
    if resource.get("resourceType") == "Subscription" and resource.get("status") in {"requested", "active"}:
        told = "this server does not notify anyone yet; a Subscription can be stored with status off"
        yield Issue(IssueType.BUSINESS_RULE, told, ("Subscription.status",), id="subscription-not-served")


def refuse(errors: list[Issue]) -> None:
    """Raise the error that issues of validation ask for, if there are any.

    400 where the body is not FHIR (structure, type, format, cardinality, required code), 422 where it is FHIR and
    breaks a rule (invariant, reference target, profile). https://hl7.org/fhir/R4/http.html#create
    """
    match status_of(errors):
        case 400:
            raise BadRequest(*errors)
        case 422:
            raise Unprocessable(*errors)


def _members(value: Resource) -> bytes:
    return b"," + serialize(value)[1:-1] if value else b""
