"""A search as understood: criteria, chains, reverse chains, and the search result parameters.

Spec: https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from fhir_server.definitions.parameters import SearchParameter, SearchParameterType
from fhir_server.outcome import Issue
from fhir_server.search.values import Value

Kind: TypeAlias = SearchParameterType


@dataclass(frozen=True, slots=True)
class Criterion:
    """``code[:modifier]=value,value``: one of the values holds. ``types`` share the parameter."""

    types: tuple[str, ...]
    parameter: SearchParameter
    modifier: str | None
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """``code[:Type].…``: the resource refers to one, of one of the target types, for which all conditions hold."""

    types: tuple[str, ...]
    parameter: SearchParameter
    targets: Mapping[str, tuple[Condition, ...]]


@dataclass(frozen=True, slots=True)
class Has:
    """``_has:type:code:…``: one of ``type``, of which all conditions hold, refers here by ``parameter``."""

    type: str
    parameter: SearchParameter
    conditions: tuple[Condition, ...]


Condition: TypeAlias = Criterion | Chain | Has


@dataclass(frozen=True, slots=True)
class Sort:
    """One key of ``_sort``."""

    parameter: SearchParameter
    is_descending: bool


@dataclass(frozen=True, slots=True)
class Include:
    """One ``_include`` or ``_revinclude``. None is the wildcard, or no restriction of the target."""

    type: str | None
    code: str | None
    target: str | None
    is_iterate: bool


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What a client asked for: ``types`` are searched, all ``criteria`` hold."""

    types: tuple[str, ...]
    criteria: tuple[Condition, ...] = ()
    sort: tuple[Sort, ...] = ()
    count: int | None = None
    includes: tuple[Include, ...] = ()
    revincludes: tuple[Include, ...] = ()
    total: str | None = None
    """none, estimate or accurate."""
    summary: str | None = None
    """true, text, data, count or false."""
    elements: tuple[str, ...] = ()
    understood: tuple[tuple[str, str], ...] = ()
    """The pairs that took effect, decoded, in the order received: what the ``self`` link says."""
    ignored: tuple[Issue, ...] = ()
    """What lenient handling left out, and codes let through that no resource can have: for an ``outcome`` entry."""


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """Bounds of one search; passing one is a 400 that names it."""

    parameters: int = 200
    values: int = 1_000
    """Alternatives, parted by commas, of one parameter."""
    value_length: int = 4_096
    """Characters of one alternative."""
    depth: int = 10
    """Links of a chain and of ``_has``, together."""
    paths: int = 500
    """Conditions of one search, those counted that a chain of open type has on each target type."""
    includes: int = 50
    """``_include`` and ``_revinclude`` of one search."""
    sorts: int = 8
    codes: int = 2_000
    """Codes of all value sets of one search."""


LIMITS: Final = SearchLimits()


# --- what each type of parameter can do ------------------------------------------------------------------------------

MODIFIERS: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.STRING: ("exact", "contains", "missing"),
    Kind.TOKEN: ("not", "text", "in", "not-in", "of-type", "missing"),
    Kind.REFERENCE: ("identifier", "missing"),
    Kind.DATE: ("missing",),
    Kind.NUMBER: ("missing",),
    Kind.QUANTITY: ("missing",),
    Kind.URI: ("above", "below", "missing"),
    Kind.SPECIAL: ("missing",),
    Kind.COMPOSITE: (),
}
"""The modifiers supported; a reference also takes a type, ``:Practitioner``."""

OF_VALUE_SETS: Final = frozenset(("in", "not-in"))
"""The modifiers whose values are value sets."""

REFUSED_MODIFIERS: Final[Mapping[tuple[Kind, str], str]] = {
    (Kind.TOKEN, "above"): "needs the hierarchy of a code system, which is not supported",
    (Kind.TOKEN, "below"): "needs the hierarchy of a code system, which is not supported",
    (Kind.REFERENCE, "above"): "hierarchies of references are not supported",
    (Kind.REFERENCE, "below"): "hierarchies of references are not supported",
}
"""Modifiers of R4 that are refused, and why."""

REFUSED_PARAMETERS: Final[Mapping[str, str]] = {
    "_filter": "the filter language is not supported",
    "_text": "search in the narrative is not supported",
    "_content": "search in the whole content is not supported",
    "_list": "functional and List searches are not supported",
    "_query": "named queries are not supported",
    "_contained": "contained resources are not searched on their own",
    "_containedType": "contained resources are not searched on their own",
    "_score": "results have no score",
}
"""Search parameters and search result parameters of R4 that are refused by name, and why."""

HARMLESS: Final[Mapping[str, str]] = {
    "_totalMethod": "fhirpy's count() sends it; totals here are exact or absent",
    "_": "browser libraries send it, a number that defeats caches",
}
"""Result-shaping parameters of other servers, accepted without effect. Never one that could filter."""

RESULT_PARAMETERS: Final = (
    "_sort",
    "_count",
    "_include",
    "_revinclude",
    "_total",
    "_summary",
    "_elements",
    "_format",
    "_pretty",
)
"""https://hl7.org/fhir/R4/search.html#return"""

TOTALS: Final = ("none", "estimate", "accurate")
SUMMARIES: Final = ("true", "text", "data", "count", "false")


@dataclass(slots=True)
class Draft:
    """A :class:`SearchRequest` while its parameters are read."""

    criteria: list[Condition] = field(default_factory=list)
    sort: list[Sort] = field(default_factory=list)
    includes: list[Include] = field(default_factory=list)
    revincludes: list[Include] = field(default_factory=list)
    elements: list[str] = field(default_factory=list)
    single: dict[str, str] = field(default_factory=dict)
    """The search result parameters that stand once: ``_count``, ``_total`` …"""
    understood: list[tuple[str, str]] = field(default_factory=list)
