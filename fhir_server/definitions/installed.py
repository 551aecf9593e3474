"""What stored SearchParameter resources add to the definitions: the sum of the log, in its order.

Only active ones are searched: a draft is still being written, a retired one is no longer meant to be used.
Spec: https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from fhir_server.definitions.parameters import SearchParameter, search_parameters
from fhir_server.model.formats import Resource


@dataclass(frozen=True, slots=True)
class Installed:
    """The stored definitions as one commit of the log leaves them; can be sent to another process.

    ``changed``: (base, code) → the number of the last commit that changed what is indexed under it. Whoever is indexed
    with an earlier generation may have other values of it, or none.
    """

    generation: int = 0
    parameters: tuple[SearchParameter, ...] = ()
    changed: Mapping[tuple[str, str], int] = field(default_factory=dict)


class Ledger:
    """Adds up the versions of SearchParameter resources."""

    def __init__(self, is_usable: Callable[[SearchParameter], bool]) -> None:
        """``is_usable`` tells whether an active parameter is to be searched by: not one that only describes what is
        there without it."""
        self._is_usable = is_usable
        self._by_id: dict[str, tuple[SearchParameter, ...]] = {}
        self._changed: dict[tuple[str, str], int] = {}

    def add(self, id: str, number: int, resource: Resource | None) -> None:
        """Take what commit ``number`` did to a SearchParameter; None: it was deleted."""
        before = self._by_id.get(id, ())
        self._by_id[id] = after = tuple(
            replace(parameter, id=id) for parameter in active_parameters(resource) if self._is_usable(parameter)
        )
        for base, code, _, _ in {_meaning(one) for one in before} ^ {_meaning(one) for one in after}:
            self._changed[base, code] = number

    def installed(self, generation: int) -> Installed:
        """Return the sum, under the generation of the log's head."""
        parameters = tuple(parameter for own in self._by_id.values() for parameter in own)
        return Installed(generation, parameters, dict(self._changed))


def active_parameters(resource: Resource | None) -> tuple[SearchParameter, ...]:
    """Return the parameters that a SearchParameter defines now: one for each base, none if it is not active or could
    not be searched by."""
    if resource is None or resource.get("status") != "active":
        return ()
    try:
        return tuple(search_parameters(resource))
    except (KeyError, ValueError, TypeError):  # stored before this was checked
        return ()


def _meaning(parameter: SearchParameter) -> tuple[str, str, str, str]:
    """What index entries depend on."""
    return parameter.base, parameter.code, parameter.type, parameter.expression
