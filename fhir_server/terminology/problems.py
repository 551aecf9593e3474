"""Why terminology gives no answer: what is not loaded, what cannot be told, what is wrong with a definition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fhir_server.outcome import BadRequest, Issue, IssueType, NotFound, Unprocessable

DEEPEST: Final = 32
"""How far value sets, or concept maps, may lead from one to the next."""


def unknown(type_: str, canonical: str, at: str = "", asked: bool = True) -> NotFound | Unprocessable:
    """Return the refusal of a canonical URL that nothing has: 404 where it is asked for, 422 where it is used by what
    is asked for."""
    told = f"the {type_} {canonical} is not loaded here"
    kind = NotFound if asked else Unprocessable
    return kind(Issue(IssueType.NOT_FOUND, told, (at,) if at else (), id="terminology-unknown"))


def not_complete(url: str, content: str) -> Unprocessable:
    """Return the refusal to list a code system that is here without its codes."""
    told = f"the CodeSystem {url} is here with content {content!r}: its codes cannot be listed"
    return Unprocessable(Issue(IssueType.NOT_SUPPORTED, told, id="code-system-content"))


def is_supplement(url: str, of: str) -> Unprocessable:
    """Return the refusal to take a supplement for a code system. https://hl7.org/fhir/R4/codesystem.html#supplements"""
    told = f"the CodeSystem {url} only supplements {of or 'another'}: it has no codes of its own"
    return Unprocessable(Issue(IssueType.NOT_SUPPORTED, told, id="code-system-content"))


def check_path(path: Sequence[str], url: str) -> None:
    """Raise ``Unprocessable`` where the way that led to a value set, or concept map, is a circle or too long."""
    if url in path:
        told = f"definitions that lead back to themselves: {' → '.join([*path, url])}"
        raise Unprocessable(Issue(IssueType.PROCESSING, told, id="terminology-cycle"))
    if len(path) >= DEEPEST:
        told = f"definitions that lead from one to the next more than {DEEPEST} times: from {path[0]} to {url}"
        raise Unprocessable(Issue(IssueType.TOO_COSTLY, told, id="terminology-too-deep"))


def too_costly(told: str) -> BadRequest:
    """Return the refusal of what would take or give too much. https://hl7.org/fhir/R4/valueset-operation-expand.html"""
    return BadRequest(Issue(IssueType.TOO_COSTLY, told, id="terminology-too-costly"))


def bad_definition(told: str) -> Unprocessable:
    """Return the refusal of a definition that cannot be followed."""
    return Unprocessable(Issue(IssueType.PROCESSING, told, id="terminology-definition"))


def not_told(code: str, canonical: str, reasons: Sequence[str]) -> Unprocessable:
    """Return the refusal to say whether a code is in a value set that is not wholly known."""
    told = f"whether {code} is in the ValueSet {canonical} cannot be told: {'; '.join(reasons)}"
    return Unprocessable(Issue(IssueType.NOT_FOUND, told, id="code-not-told"))
