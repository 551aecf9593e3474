"""What is written in several ways and means the same: values are compared by it, and never stored by it.

The index has a value's one form, and a search asks for it: so both spellings find both, and no index has more entries.
Spec: https://hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

Number: TypeAlias = tuple[str, str]
"""The system and the value of an identifier."""


def _same(text: str) -> str:
    return text


def _alone(system: str, value: str) -> tuple[Number, ...]:
    return ((system, value),)


@dataclass(frozen=True, slots=True)
class Aliases:
    """How a guide compares tokens; each function is pure, and gives what it was given where it knows nothing better.

    ``system``: the URI by which a code system, or the system of identifiers, is compared. ``contact``: the form in
    which the value of a ContactPoint is compared. ``numbers``: from a system, already compared, and a value, all that
    an identifier is found as; the first is the form in which a search for it asks.
    """

    system: Callable[[str], str] = _same
    contact: Callable[[str], str] = _same
    numbers: Callable[[str, str], tuple[Number, ...]] = _alone

    def number(self, system: str, value: str) -> Number:
        """Return the form in which a search asks for an identifier."""
        return self.numbers(system, value)[0]

    def then(self, other: Aliases) -> Aliases:
        """Return the aliases of two guides, one after the other."""
        if self == Aliases():
            return other
        return Aliases(
            lambda uri: other.system(self.system(uri)),
            lambda value: other.contact(self.contact(value)),
            lambda system, value: tuple(
                dict.fromkeys(form for number in self.numbers(system, value) for form in other.numbers(*number))
            ),
        )


def together(aliases: Iterable[Aliases]) -> Aliases:
    """Return the aliases of all guides as one."""
    return reduce(Aliases.then, aliases, Aliases())
