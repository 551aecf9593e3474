"""One element of a type, and one invariant: what R4 says about them, and how a line of the tables says it.

Spec: https://hl7.org/fhir/R4/elementdefinition.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fhir_server.definitions.tables import expand_value_set

OPEN_TYPES: Final = tuple(
    (  # noqa: SIM905 a list would take a line a name
        "base64Binary boolean canonical code date dateTime decimal id instant integer markdown oid positiveInt string "
        "time unsignedInt uri url uuid Address Age Annotation Attachment CodeableConcept Coding ContactPoint Count "
        "Distance Duration HumanName Identifier Money Period Quantity Range Ratio Reference SampledData Signature "
        "Timing ContactDetail Contributor DataRequirement Expression ParameterDefinition RelatedArtifact "
        "TriggerDefinition UsageContext Dosage Meta"
    ).split()
)
"""The types of an open choice, ``*``. Spec: https://hl7.org/fhir/R4/datatypes.html#open"""


@dataclass(frozen=True, slots=True)
class Invariant:
    """A constraint: ``severity`` is ``error`` or ``warning``, ``expression`` FHIRPath on each context element."""

    key: str
    severity: str
    expression: str


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a type or backbone: everything the base structure says of it.

    ``types`` are FHIR type codes: ``("BackboneElement",)`` for a backbone of a resource, ``("Element",)`` for
    one of a data type, ``("Resource",)`` for any resource. ``targets`` are the types a Reference may point to:
    empty if no Reference is allowed, ``{"Resource"}`` for any. ``canonical_targets`` says the same of a canonical.
    ``content`` is the path whose children the element shares. ``binding`` is a value set without its version,
    ``strength`` how it binds (required, extensible, preferred). A ``plain`` element (ids, ``Extension.url``)
    never has extensions, so its JSON has no ``_property``.
    """

    path: str
    name: str
    min: int
    max: int | None
    types: tuple[str, ...]
    targets: frozenset[str] = frozenset()
    canonical_targets: frozenset[str] = frozenset()
    content: str | None = None
    strength: str | None = None
    binding: str | None = None
    is_summary: bool = False
    is_modifier: bool = False
    plain: bool = False

    @property
    def value_set(self) -> str | None:
        """The canonical URL, without version, of the value set if its binding is required."""
        return self.binding if self.strength == "required" else None

    @property
    def is_choice(self) -> bool:
        """Whether its name ends in a type: ``value[x]``."""
        return self.name.endswith("[x]")

    @property
    def is_list(self) -> bool:
        """Whether it may stand more than once: JSON has an array."""
        return self.max is None or self.max > 1

    @property
    def is_backbone(self) -> bool:
        """Whether the children stand under ``path`` itself (or ``content``), not under a type."""
        return self.types[0] in ("BackboneElement", "Element")

    def json_names(self) -> Mapping[str, str]:
        """Return the type code of each JSON property name: ``{"valueString": "string", …}`` for a choice."""
        if not self.is_choice:
            return {self.name: self.types[0]}
        stem = self.name[:-3]
        return {stem + code[0].upper() + code[1:]: code for code in self.types}


@lru_cache(maxsize=1024)
def _parse_types(text: str) -> tuple[tuple[str, ...], frozenset[str], frozenset[str]]:
    """Return types, targets of a Reference, targets of a canonical, from ``Reference(Group)|canonical|string``."""
    targets: dict[str, frozenset[str]] = {}
    codes: list[str] = []
    for part in OPEN_TYPES if text == "*" else text.split("|"):
        code, parenthesis, inner = part.partition("(")
        codes.append(code)
        if parenthesis:
            targets[code] = frozenset(inner[:-1].split(","))
        elif code in ("Reference", "canonical"):
            targets[code] = frozenset(("Resource",))
    return tuple(codes), targets.get("Reference", frozenset()), targets.get("canonical", frozenset())


def parse_element(line: str, parent: str) -> Element:
    """Return the element that a line of ``r4/resources.txt`` or ``r4/datatypes.txt`` describes, under ``parent``."""
    name, cardinality, types, *rest = line.split()
    least, _, most = cardinality.partition("..")
    flags = rest[0] if rest else "-"
    strength, _, value_set = rest[1].partition(":") if len(rest) > 1 else ("", "", "")
    content = types[1:] if types[0] == "@" else None
    codes, targets, canonicals = _parse_types("BackboneElement" if content else types)
    return Element(
        path=f"{parent}.{name}",
        name=name,
        min=int(least),
        max=None if most == "*" else int(most),
        types=codes,
        targets=targets,
        canonical_targets=canonicals,
        content=content,
        strength=strength or None,
        binding=expand_value_set(value_set) if value_set else None,
        is_summary="S" in flags,
        is_modifier="M" in flags,
        plain="P" in flags,
    )
