"""The text of a code in a language, and whether a text is one of its texts.

Spec: https://hl7.org/fhir/R4/codesystem.html#designations
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any


def languages(text: str | None) -> list[str]:
    """Return the languages of a ``displayLanguage``, the most wanted first: ``fr-FR``, or as in ``Accept-Language``."""
    return [part.partition(";")[0].strip() for part in text.split(",") if part.strip()] if text else []


def display(
    given: str | None, language: str | None, designations: Sequence[Mapping[str, Any]], wanted: Iterable[str]
) -> str | None:
    """Return the text in the first of the languages wanted that there is one in, else the one given."""
    for one in wanted:
        if given is not None and language is not None and _is_in(language, one):
            return given
        for designation in designations:
            if _is_in(designation.get("language", ""), one) and "value" in designation:
                value: str = designation["value"]
                return value
    return given


def is_one_of(text: str, known: Iterable[str | None]) -> bool:
    """Tell whether a display is one of those known; case and blanks at its ends do not count."""
    return any(one is not None and text.strip().casefold() == one.strip().casefold() for one in known)


def texts(given: str | None, designations: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield all texts of a code."""
    if given is not None:
        yield given
    for designation in designations:
        if "value" in designation:
            yield designation["value"]


def _is_in(language: str, wanted: str) -> bool:
    """Tell whether a text of a language is one that is wanted: ``fr-CH`` is when ``fr`` is, and the other way round."""
    first, second = language.lower(), wanted.lower()
    return bool(first) and (first == second or first.startswith(f"{second}-") or second.startswith(f"{first}-"))
