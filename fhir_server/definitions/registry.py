"""The registry: an immutable snapshot of the definitions in force, and of the types that this deployment serves.

Spec: https://hl7.org/fhir/R4/conformance-module.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from types import MappingProxyType
from typing import Final

from fhir_server.definitions.aliases import Aliases
from fhir_server.definitions.compartments import read_compartments
from fhir_server.definitions.installed import Installed
from fhir_server.definitions.operations import Level, Operation
from fhir_server.definitions.parameters import SearchParameter, SearchParameters
from fhir_server.definitions.structures import Structures

CORE_TYPES: Final = frozenset(("Practitioner", "Organization", "CareTeam", "Appointment"))
"""The types this server exists for."""

ENVELOPES: Final = frozenset(("Bundle", "Parameters", "OperationOutcome"))
"""Types that carry requests and answers: they can be validated, whether they are served or not."""

CONFORMANCE_TYPES: Final = frozenset(
    (  # noqa: SIM905 a list would take a line a name
        "CapabilityStatement CodeSystem ConceptMap ImplementationGuide NamingSystem OperationDefinition "
        "SearchParameter StructureDefinition ValueSet"
    ).split()
)
"""The types whose resources are definitions."""

DEFAULT_TYPES: Final = (
    CORE_TYPES
    | CONFORMANCE_TYPES
    | frozenset(
        (  # noqa: SIM905 a list would take a line a name
            "AppointmentResponse AuditEvent Communication Endpoint Group HealthcareService Location "
            "OrganizationAffiliation Patient PractitionerRole Provenance RelatedPerson Schedule ServiceRequest "
            "Slot Subscription Task"
        ).split()
    )
)
"""The resource types served unless a setting says otherwise."""


DEFINITION_TYPES: Final = frozenset(("SearchParameter",))
"""The conformance types that the registry follows: a commit that touches one starts a new generation."""


class Registry:
    """What is installed now. Never changes: a new definition makes a new registry, of a later generation.

    Of one base and code the later of these counts: a guide's parameter, a stored SearchParameter. Neither replaces a
    parameter that R4 or this project has. ``oldest`` tells where the index is behind: type → the generation that the
    oldest index entries of its resources were computed with, for types that await a reindex.
    """

    def __init__(self, structures: Structures, types: Iterable[str] = DEFAULT_TYPES, generation: int = 0) -> None:
        """Take the served ``types``. Raises ``ValueError`` for one that R4 does not have."""
        self.structures = structures
        self.types = frozenset(types)
        self.generation = generation
        self.installed = Installed()
        self.oldest: Mapping[str, int] = {}
        self.operations: tuple[Operation, ...] = ()
        self.aliases = Aliases()
        unknown = self.types - structures.resource_types
        if unknown:
            raise ValueError(f"not a resource type of R4: {', '.join(sorted(unknown))}")
        self._of_guides: Mapping[str, Mapping[str, SearchParameter]] = {}
        self._of_store: Mapping[str, Mapping[str, SearchParameter]] = {}
        self._parameters: dict[str, Mapping[str, SearchParameter]] = {}
        self._tables = (SearchParameters.of_r4(), SearchParameters.of_ours())
        self._compartments = read_compartments()

    @classmethod
    def load(cls, types: Iterable[str] = DEFAULT_TYPES) -> Registry:
        """Return the registry of R4 and this project's own definitions, of generation 0."""
        return cls(Structures.load(), types)

    # --- other registries --------------------------------------------------------------------------------------------

    def with_parameters(self, parameters: Iterable[SearchParameter], generation: int) -> Registry:
        """Return a registry that has a guide's parameters too; one of the same base and code is replaced."""
        other = self._copied(generation)
        other._of_guides = _by_base((*_each(self._of_guides), *parameters))
        return other

    def with_aliases(self, aliases: Aliases) -> Registry:
        """Return a registry that compares tokens as guides do."""
        other = self._copied(self.generation)
        other.aliases = aliases
        return other

    def with_installed(self, installed: Installed, oldest: Mapping[str, int] = MappingProxyType({})) -> Registry:
        """Return a registry of other stored definitions, and of how far they are indexed."""
        other = self._copied(installed.generation)
        if installed.parameters == self.installed.parameters:
            other._parameters = self._parameters
        other.installed, other.oldest = installed, oldest
        other._of_store = _by_base(reversed(installed.parameters))
        return other

    def with_operations(self, operations: Iterable[Operation]) -> Registry:
        """Return a registry in which these operations are served."""
        other = self._copied(self.generation)
        other.operations = tuple(operations)
        return other

    def _copied(self, generation: int) -> Registry:
        other = copy(self)
        other.generation = generation
        other._parameters = {}
        return other

    # --- search parameters -------------------------------------------------------------------------------------------

    def parameters(self, type: str) -> Mapping[str, SearchParameter]:
        """Return the search parameters of a type by code, its own and the common ones.

        ``type`` is a resource type of R4, served or not, or ``Resource`` for those common to all types. A parameter
        without an expression (``_text``, ``_content``, ``_query``) is left out. Raises ``KeyError`` if unknown.
        """
        found = self._parameters.get(type)
        if found is None:
            found = MappingProxyType(self._collect_parameters(type))
            self._parameters[type] = found
        return found

    def builtin(self, type: str, code: str) -> SearchParameter | None:
        """Return the parameter that R4 or this project has for a type, its own or a common one; None if there is
        none."""
        for base in self.bases(type):
            for table in self._tables:
                found = table.of_type(base).get(code)
                if found is not None:
                    return found
        return None

    def is_of_guide(self, parameter: SearchParameter) -> bool:
        """Tell whether a stored parameter finds what that of a guide does, which is in force without being stored.

        A reference that does not say its targets is the same as one that does.
        """
        own = self._of_guides.get(parameter.base, {}).get(parameter.code)
        if own is None or (own.type, _path(own)) != (parameter.type, _path(parameter)):
            return False
        return parameter.targets in (frozenset(), own.targets)

    def bases(self, type: str) -> Iterator[str]:
        """Yield a type and what it is derived from: Slot, DomainResource, Resource."""
        base: str | None = type
        while base:
            yield base
            base = self.structures.base(base)

    # --- operations --------------------------------------------------------------------------------------------------

    def operations_at(self, level: Level, type: str | None = None) -> Mapping[str, Operation]:
        """Return the operations of a level, there of a type, by name."""
        return {operation.name: operation for operation in self.operations if operation.stands_on(level, type)}

    # --- what is indexed ---------------------------------------------------------------------------------------------

    @property
    def changed(self) -> int:
        """The generation that last changed what any resource is indexed by; entries of an earlier one may be wrong."""
        return max(self.installed.changed.values(), default=0)

    def changed_for(self, type: str) -> int:
        """Return the generation that last changed the parameters of a type."""
        bases = set(self.bases(type))
        return max((number for (base, _), number in self.installed.changed.items() if base in bases), default=0)

    def is_waiting(self, types: Iterable[str], code: str) -> bool:
        """Tell whether a parameter of the last of some types has changed, and resources of any of them are not yet
        indexed by it. The types before the last are those that may contain such a resource, on the way of a chain."""
        if not self.oldest:
            return False
        types = tuple(types)
        since = max(self.installed.changed.get((base, code), 0) for base in self.bases(types[-1]))
        return any(self.oldest.get(type_, since) < since for type_ in types)

    # --- compartments ------------------------------------------------------------------------------------------------

    def compartment(self, name: str) -> Mapping[str, tuple[str, ...]] | None:
        """Return type → search parameter codes of a compartment (``Patient``), None if there is no such one."""
        return self._compartments.get(name)

    @property
    def compartments(self) -> frozenset[str]:
        """The names of the compartments: Patient, Practitioner, RelatedPerson."""
        return frozenset(self._compartments)

    def _collect_parameters(self, type_: str) -> dict[str, SearchParameter]:
        base = self.structures.base(type_)
        found = dict(self.parameters(base)) if base else {}
        added = (self._of_guides.get(type_, {}), self._of_store.get(type_, {}))
        for source in (*(table.of_type(type_) for table in self._tables), *added):
            found.update({code: parameter for code, parameter in source.items() if parameter.expression})
        return found


def _path(parameter: SearchParameter) -> str:
    """Return the expression without the type that it starts with: FHIRPath starts at the resource in any case."""
    return parameter.expression.removeprefix(f"{parameter.base}.")


def _by_base(parameters: Iterable[SearchParameter]) -> Mapping[str, Mapping[str, SearchParameter]]:
    """Return base → code → parameter; of several the last."""
    found: dict[str, dict[str, SearchParameter]] = {}
    for parameter in parameters:
        found.setdefault(parameter.base, {})[parameter.code] = parameter
    return found


def _each(by_base: Mapping[str, Mapping[str, SearchParameter]]) -> Iterator[SearchParameter]:
    for by_code in by_base.values():
        yield from by_code.values()
