"""The registry: an immutable snapshot of the definitions in force, and of the types that this deployment serves.

Spec: https://hl7.org/fhir/R4/conformance-module.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from fhir_server.definitions.compartments import read_compartments
from fhir_server.definitions.parameters import SearchParameter, SearchParameters
from fhir_server.definitions.structures import Structures

CORE_TYPES: Final = frozenset(("Practitioner", "Organization", "CareTeam", "Appointment"))
"""The types this server exists for."""

CONFORMANCE_TYPES: Final = frozenset(
    (  # noqa: SIM905 a list would take a line a name
        "CapabilityStatement CodeSystem ConceptMap ImplementationGuide NamingSystem OperationDefinition "
        "SearchParameter StructureDefinition ValueSet"
    ).split()
)
"""The types whose resources are definitions: a commit that touches one starts a new generation."""

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


class Registry:
    """What is installed now. Never changes: a new definition makes a new registry, of a later generation."""

    def __init__(
        self,
        structures: Structures,
        types: Iterable[str] = DEFAULT_TYPES,
        generation: int = 0,
        installed: Mapping[str, Mapping[str, SearchParameter]] | None = None,
    ) -> None:
        """Take the served ``types`` and the parameters ``installed`` beside R4's and ours: base → code → it.

        Raises ``ValueError`` for a served type that R4 does not have.
        """
        self.structures = structures
        self.types = frozenset(types)
        self.generation = generation
        unknown = self.types - structures.resource_types
        if unknown:
            raise ValueError(f"not a resource type of R4: {', '.join(sorted(unknown))}")
        self._installed: Mapping[str, Mapping[str, SearchParameter]] = installed or {}
        self._parameters: dict[str, Mapping[str, SearchParameter]] = {}
        self._tables = (SearchParameters.of_r4(), SearchParameters.of_ours())
        self._compartments = read_compartments()

    @classmethod
    def load(cls, types: Iterable[str] = DEFAULT_TYPES) -> Registry:
        """Return the registry of R4 and this project's own definitions, of generation 0."""
        return cls(Structures.load(), types)

    def with_parameters(self, parameters: Iterable[SearchParameter], generation: int) -> Registry:
        """Return a registry that has these parameters too; one of the same base and code is replaced."""
        installed = {base: dict(by_code) for base, by_code in self._installed.items()}
        for parameter in parameters:
            installed.setdefault(parameter.base, {})[parameter.code] = parameter
        return Registry(self.structures, self.types, generation, installed)

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

    def compartment(self, name: str) -> Mapping[str, tuple[str, ...]] | None:
        """Return type → search parameter codes of a compartment (``Patient``), None if there is no such one."""
        return self._compartments.get(name)

    @property
    def compartments(self) -> frozenset[str]:
        """The names of the compartments: Patient, Practitioner, RelatedPerson."""
        return frozenset(self._compartments)

    def _collect_parameters(self, type_: str) -> dict[str, SearchParameter]:
        base = self.structures.base(type_)
        found = self._collect_parameters(base) if base else {}
        for source in (*(table.of_type(type_) for table in self._tables), self._installed.get(type_, {})):
            found.update({code: parameter for code, parameter in source.items() if parameter.expression})
        return found
