"""The Bundle of a batch or transaction: what is around its resources, checked; they are checked where they are stored.

A batch's entries fail alone, so what is wrong is told by entry.

Spec: https://hl7.org/fhir/R4/bundle.html and https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request
from fhir_server.interactions.pace import Pace, aside
from fhir_server.model.formats import Json, parse
from fhir_server.outcome import BadRequest, Issue, IssueType, TooLarge

TRANSACTION: Final = "transaction"
_TYPES: Final = ("batch", TRANSACTION)

_TOGETHER: Final = 50
"""Entries checked at once; only where one of them is wrong, each of them alone."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A posted Bundle. ``faults``: what is wrong with entries, by their place; entries without are objects."""

    type: str
    entries: Sequence[Any]
    faults: Mapping[int, Sequence[Issue]] = field(default_factory=dict)


async def posted_bundle(context: Context, request: Request) -> Envelope:
    """Return the Bundle posted to the base. Raises ``BadRequest`` if it is wrong as a whole, or ``TooLarge``."""
    bundle = await _body(request)
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        told = "only a Bundle can be posted to the base"
        raise BadRequest(Issue(IssueType.STRUCTURE, told, ("Bundle",), id="bundle-expected"))
    type_, entries = bundle.get("type"), bundle.get("entry", ())
    if isinstance(type_, str) and type_ not in _TYPES:
        told = "a Bundle posted to the base is of type batch or transaction"
        raise BadRequest(Issue(IssueType.VALUE, told, ("Bundle.type",), id="bundle-type"))
    errors = _as_a_whole(context, bundle)
    if errors:
        raise BadRequest(*errors)
    limit = context.limits.bundle_entries
    if len(entries) > limit:
        told = f"the Bundle has {len(entries)} entries; the limit is {limit}"
        raise TooLarge(Issue(IssueType.TOO_LONG, told, ("Bundle.entry",), id="bundle-entries"))
    faults = await _faults(context, str(type_), entries)
    if type_ == TRANSACTION:
        _twice(entries, faults)
    return Envelope(str(type_), entries, faults)


async def _body(request: Request) -> Json:
    if request.resource is not None:
        return request.resource
    if not request.body:
        raise BadRequest(
            Issue(IssueType.REQUIRED, "there is no body; expected is a Bundle", ("Bundle",), id="body-empty")
        )
    return await aside(len(request.body), parse, request.body)


def _as_a_whole(context: Context, bundle: dict[str, Any]) -> list[Issue]:
    """Return what is wrong with a Bundle apart from its entries."""
    bare = {name: value for name, value in bundle.items() if name != "entry"}
    if "entry" in bundle and not (isinstance(bundle["entry"], list) and bundle["entry"]):
        bare["entry"] = bundle["entry"]
    errors = [issue for issue in context.validator.validate(bare, entries=False) if issue.is_error]
    if "implicitRules" in bundle:
        errors.append(_not_understood("Bundle.implicitRules"))
    return errors


async def _faults(context: Context, type_: str, entries: Sequence[Any]) -> dict[int, list[Issue]]:
    faults: dict[int, list[Issue]] = {}
    pace = Pace()
    for start in range(0, len(entries), _TOGETHER):
        some = entries[start : start + _TOGETHER]
        if _errors(context, type_, some) or any(map(_extended, some)):
            for index, entry in enumerate(some, start):
                found = [
                    replace(issue, expression=(_moved(issue, index),)) for issue in _errors(context, type_, [entry])
                ]
                found.extend(_not_understood(f"Bundle.entry[{index}].{path}") for path in _extended(entry))
                if found:
                    faults[index] = found
        await pace.keep()
    return faults


def _errors(context: Context, type_: str, entries: Sequence[Any]) -> list[Issue]:
    bundle = {"resourceType": "Bundle", "type": type_, "entry": list(entries)}
    # The same fullUrl twice is no fault in a batch, and is looked for across all entries of a transaction.
    issues = context.validator.validate(bundle, entries=False)
    return [issue for issue in issues if issue.is_error and issue.id != "invariant-bdl-7"]


def _moved(issue: Issue, index: int) -> str:
    """Return the path of an issue found in a Bundle of one entry."""
    path = issue.expression[0] if issue.expression else "Bundle"
    return f"Bundle.entry[{index}]{path.removeprefix('Bundle').removeprefix('.entry[0]').removeprefix('.entry')}"


def _extended(entry: Any) -> list[str]:
    """Return the paths of modifier extensions: what they mean must be understood, and none is."""
    if not isinstance(entry, dict):
        return []
    parts = {"": entry, "request.": entry.get("request")}
    return [f"{at}modifierExtension" for at, part in parts.items() if isinstance(part, dict) and _MODIFIER in part]


_MODIFIER: Final = "modifierExtension"


def _twice(entries: Sequence[Any], faults: dict[int, list[Issue]]) -> None:
    """Find a fullUrl that stands twice: a reference to it would have two meanings."""
    first: dict[str, int] = {}
    for index, url in _full_urls(entries):
        if first.setdefault(url, index) != index:
            told = f"the fullUrl is that of entry {first[url]} too"
            issue = Issue(IssueType.DUPLICATE, told, (f"Bundle.entry[{index}].fullUrl",), id="invariant-bdl-7")
            faults.setdefault(index, []).append(issue)


def _full_urls(entries: Sequence[Any]) -> Iterator[tuple[int, str]]:
    for index, entry in enumerate(entries):
        url = entry.get("fullUrl") if isinstance(entry, dict) else None
        if isinstance(url, str):
            yield index, url


def _not_understood(path: str) -> Issue:
    return Issue(
        IssueType.EXTENSION, "this server cannot honour it, and must not ignore it", (path,), id="not-understood"
    )
