"""What can be wrong with a search, as issues: what was received, what was expected, which parameter.

Spec: https://hl7.org/fhir/R4/search.html#errors
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from fhir_server.outcome import Issue, IssueType

_SHOWN = 60
"""Characters of a name that a message repeats."""


class Problem(Exception):
    """One thing wrong with one parameter. ``is_unknown``: lenient handling may leave the parameter out."""

    def __init__(self, issue: Issue, is_unknown: bool = False) -> None:
        super().__init__(issue.diagnostics)
        self.issue = issue
        self.is_unknown = is_unknown


class BoundPassed(Problem):
    """A bound on the cost of a search is passed."""


def no_such(parameter: str, noun: str, received: str, valid: Iterable[str], is_unknown: bool) -> Problem:
    """Return the problem of a name that does not exist, with the nearest that does and the list of all."""
    known = sorted(valid)
    near = nearest(received, known)
    text = f'{parameter[:_SHOWN]}: "{received[:_SHOWN]}" is not {_article(noun)} {noun} here'
    text += f'; did you mean "{near}"?' if near else "."
    text += f" Valid: {', '.join(known) or 'none'}"
    id_ = "search-parameter-unknown" if is_unknown else "search-value"
    return Problem(Issue(IssueType.INVALID, text, (_where(parameter),), id=id_), is_unknown)


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def refused(parameter: str, what: str, reason: str, is_unknown: bool = False) -> Problem:
    """Return the problem of what R4 has, or could have, and this server does not."""
    issue = Issue(
        IssueType.NOT_SUPPORTED, f"{what[:200]} is refused: {reason}", (_where(parameter),), id="search-refused"
    )
    return Problem(issue, is_unknown)


def bad_value(parameter: str, expected: str) -> Problem:
    """Return the problem of a value that the parameter cannot have; ``expected`` says which it can."""
    return Problem(Issue(IssueType.VALUE, f"{parameter[:200]}: {expected}", (_where(parameter),), id="search-value"))


def bad_code(parameter: str, codes: Mapping[str, Iterable[str]]) -> Problem:
    """Return the problem of a code outside the required value set of the element: ``codes`` → systems."""
    systems = sorted({system for several in codes.values() for system in several})
    text = (
        f"{parameter[:200]}: not a code of the required value set; the codes are {', '.join(sorted(codes))}, "
        f"of {', '.join(systems)}"
    )
    return Problem(Issue(IssueType.CODE_INVALID, text, (_where(parameter),), id="search-code"))


def too_many(parameter: str, what: str, received: int, bound: int) -> BoundPassed:
    """Return the problem of a bound that is passed; the text gives both figures."""
    text = f"{received} {what}; the bound is {bound}"
    return BoundPassed(Issue(IssueType.TOO_COSTLY, text, (_where(parameter),), id="search-bound"))


def nearest(received: str, known: list[str]) -> str | None:
    """Return the name that was probably meant, None if none is near."""
    same = [name for name in known if name.lower() == received[:_SHOWN].lower()]
    found = same or difflib.get_close_matches(received[:_SHOWN], known, 1, 0.6)
    return found[0] if found else None


def _where(parameter: str) -> str:
    return parameter if parameter == "http" else f"http.{parameter[:200]}"
