"""Where an issue stands, seen from the Bundle that an entry came in.

Spec: https://hl7.org/fhir/R4/operationoutcome-definitions.html#OperationOutcome.issue.expression
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from fhir_server.outcome import FhirError, Issue

REQUEST_HEADERS: Final[Mapping[str, str]] = {
    "ifMatch": "If-Match",
    "ifNoneMatch": "If-None-Match",
    "ifNoneExist": "If-None-Exist",
    "ifModifiedSince": "If-Modified-Since",
}
"""The elements of ``Bundle.entry.request`` that stand for headers."""

_ELEMENTS: Final = {f"http.{header}": element for element, header in REQUEST_HEADERS.items()}


def located(issue: Issue, at: str) -> Issue:
    """Return an issue of one entry's request or resource with its path inside the Bundle.

    ``at`` is the entry: ``Bundle.entry[3]``; empty: the issue as it is.
    """
    if not at:
        return issue
    return replace(issue, expression=tuple(_path(path, at) for path in issue.expression) or (at,))


@contextmanager
def entry(at: str) -> Iterator[None]:
    """Locate what is raised inside at an entry; ``at`` empty: nothing is done."""
    try:
        yield
    except FhirError as error:
        if not at:
            raise
        raise at_entry(error, at) from error


def at_entry(error: FhirError, at: str) -> FhirError:
    """Return the same refusal, its issues located at an entry."""
    return type(error)(*(located(issue, at) for issue in error.issues), headers=error.headers)


def _path(path: str, at: str) -> str:
    if path == "Bundle" or path.startswith(("Bundle.", "Bundle.entry[")):
        return path
    if path.startswith("http"):
        element = _ELEMENTS.get(path)
        return f"{at}.request.{element or 'url'}"
    _, dot, rest = path.partition(".")
    return f"{at}.resource{dot}{rest}"
