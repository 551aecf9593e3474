"""Search parameters: what may be searched on each type, R4's and this project's own.

Spec: https://hl7.org/fhir/R4/searchparameter.html, https://hl7.org/fhir/R4/searchparameter-registry.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final

from fhir_server.definitions.canonical import HL7, OURS
from fhir_server.definitions.tables import ADDED, R4, read_blocks
from fhir_server.model.formats import Resource


class SearchParameterType(StrEnum):
    """https://hl7.org/fhir/R4/valueset-search-param-type.html"""

    NUMBER = "number"
    DATE = "date"
    STRING = "string"
    TOKEN = "token"  # noqa: S105 a search parameter type
    REFERENCE = "reference"
    COMPOSITE = "composite"
    QUANTITY = "quantity"
    URI = "uri"
    SPECIAL = "special"


COMPARATORS: Final = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
"""https://hl7.org/fhir/R4/search.html#prefix"""

_ORDERED: Final = (SearchParameterType.NUMBER, SearchParameterType.DATE, SearchParameterType.QUANTITY)


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """A search parameter of one type.

    ``base`` is that type, or ``Resource`` and ``DomainResource`` for the common ones. ``expression`` is FHIRPath
    on it, empty if R4 gives none (``_text``). ``targets`` are the types a reference may point to, empty if any;
    always empty for other types of parameter. ``components`` of a composite are (definition id, expression). ``id`` is
    that of the stored SearchParameter that defines it, empty where none does.
    """

    code: str
    type: SearchParameterType
    base: str
    expression: str
    url: str
    targets: frozenset[str] = frozenset()
    components: tuple[tuple[str, str], ...] = ()
    id: str = ""

    @property
    def comparators(self) -> tuple[str, ...]:
        """The prefixes that a value may carry: all for number, date and quantity, else none."""
        return COMPARATORS if self.type in _ORDERED else ()

    @property
    def is_selection(self) -> bool:
        """Whether it takes those of an element's references that lead to one type, as ``patient`` does of actors."""
        return "resolve() is " in self.expression

    @property
    def is_ours(self) -> bool:
        """Whether this project added it to R4."""
        return self.url.startswith(OURS)


def search_parameters(resource: Resource) -> Iterator[SearchParameter]:
    """Yield the parameter that a SearchParameter resource defines, once for each of its bases.

    Raises ``KeyError`` or ``ValueError`` where an element is missing or has another value than R4 allows.
    """
    for base in resource["base"]:
        yield SearchParameter(
            code=resource["code"],
            type=SearchParameterType(resource["type"]),
            base=base,
            expression=resource["expression"],
            url=resource["url"],
            targets=frozenset(resource.get("target", ())),
        )


class SearchParameters:
    """The search parameters of a table, read type by type."""

    def __init__(self, file: Path, canonical_base: str) -> None:
        """Cut a table into types; ``canonical_base`` is the base of its definitions' URLs."""
        self._blocks = dict(read_blocks(file))
        self._url = f"{canonical_base}SearchParameter/"
        self._read: dict[str, Mapping[str, SearchParameter]] = {}

    @classmethod
    def of_r4(cls) -> SearchParameters:
        """Return those of R4, for all of its types."""
        return cls(R4 / "search-parameters.txt", HL7)

    @classmethod
    def of_ours(cls) -> SearchParameters:
        """Return those that this server adds for everybody."""
        return cls(ADDED / "search-parameters.txt", OURS)

    @property
    def bases(self) -> frozenset[str]:
        """The types that have parameters here."""
        return frozenset(self._blocks)

    def of_type(self, base: str) -> Mapping[str, SearchParameter]:
        """Return the parameters declared on a type itself, by code; empty if it has none."""
        found = self._read.get(base)
        if found is None:
            lines = self._blocks.get(base, [])
            found = MappingProxyType({(parameter := self._parse(line, base)).code: parameter for line in lines})
            self._read[base] = found
        return found

    def _parse(self, line: str, base: str) -> SearchParameter:
        code, type_, targets, expression, *rest = line.split("\t")
        identifier = (rest[0] if rest else "") or f"{base}-{code}"
        parts = rest[1].split(";") if len(rest) > 1 else ()
        return SearchParameter(
            code=code,
            type=SearchParameterType(type_),
            base=base,
            expression="" if expression == "-" else expression,
            url=self._url + identifier,
            targets=frozenset() if targets in "*-" else frozenset(targets.split(",")),
            components=tuple((name, path) for name, _, path in (part.partition("=") for part in parts)),
        )
