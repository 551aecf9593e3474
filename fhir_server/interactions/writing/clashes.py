"""Two active SearchParameters cannot have one code for one type: a search by it could not tell which is meant. Nor can
a type have any number of them: each is evaluated in every write of its resources.

Asked of all that one request writes together, under definitions that are still in force where its plan runs: so of two
requests that each add one, the second finds the first.
Spec: https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from fhir_server.definitions.installed import active_parameters
from fhir_server.definitions.parameters import SearchParameter
from fhir_server.definitions.registry import Registry
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.paths import located
from fhir_server.interactions.writing.intents import Step
from fhir_server.outcome import Conflict, Issue, IssueType
from fhir_server.search.definition import is_usable

MOST: Final = 200
"""Stored SearchParameters of one type, those of all types among them; R4 has 30 for the type that has most."""


async def refuse_clashes(registry: Registry, steps: Sequence[Step]) -> None:
    """Raise ``Conflict`` if something that is written has the code of another one that stays or is written too, or is
    one too many."""
    written = [step for step in steps if step.intent.type == "SearchParameter"]
    if not written:
        return
    replaced = {key.id for step in written for key in step.writes}
    others: defaultdict[str, list[SearchParameter]] = defaultdict(list)
    for parameter in registry.installed.parameters:
        if parameter.id not in replaced:
            others[parameter.code].append(parameter)
    issues: list[Issue] = []
    many: list[Issue] = []
    numbers = _Numbers(registry, [one.base for several in others.values() for one in several])
    pace = Pace()
    for step in written:
        own = [replace(one, id=step.keys[0].id) for one in active_parameters(step.resource) if is_usable(one, registry)]
        issues.extend(located(issue, step.intent.at) for issue in _clashes(registry, own, others))
        for one in own:
            others[one.code].append(one)
            many.extend(located(issue, step.intent.at) for issue in numbers.added(one.base))
        await pace.keep()
    if issues or many:
        raise Conflict(*(issues or many))


class _Numbers:
    """How many stored parameters each type has, as they are added one by one to those on ``bases``."""

    def __init__(self, registry: Registry, bases: Sequence[str]) -> None:
        self._registry = registry
        self._before = Counter(one.base for one in registry.installed.parameters)
        self._now = Counter(bases)

    def added(self, base: str) -> Iterator[Issue]:
        """Yield what is wrong with one more; what was too many before the bound was there may still be changed."""
        self._now[base] += 1
        for type_ in sorted(self._registry.types):
            bases = tuple(self._registry.bases(type_))
            number = sum(self._now[each] for each in bases)
            if base in bases and number > max(MOST, sum(self._before[each] for each in bases)):
                told = (
                    f"it would be active SearchParameter number {number} of {type_}, at most {MOST} are evaluated in "
                    "each write; retire or delete others first"
                )
                yield Issue(IssueType.TOO_COSTLY, told, ("SearchParameter.base",), id="search-parameter-bound")
                return


def _clashes(
    registry: Registry, own: Sequence[SearchParameter], others: Mapping[str, Sequence[SearchParameter]]
) -> Iterator[Issue]:
    """Yield where a code is taken. ``others`` are by code."""
    for one in own:
        for other in others.get(one.code, ()):
            if _overlap(registry, one.base, other.base):
                told = (
                    f"{one.code} is the code of SearchParameter/{other.id} on {other.base}, which is active: "
                    "choose another code, or retire or delete that one"
                )
                yield Issue(IssueType.DUPLICATE, told, ("SearchParameter.code",), id="search-parameter-clash")


def _overlap(registry: Registry, base: str, other: str) -> bool:
    return other in registry.bases(base) or base in registry.bases(other)
