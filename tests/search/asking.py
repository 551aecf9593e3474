"""From a query string, written as in the specification, to a request, a query, or the reasons of its refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from fhir_server.definitions.registry import Registry
from fhir_server.outcome import BadRequest, Issue
from fhir_server.search.criteria import LIMITS, SearchLimits, SearchRequest
from fhir_server.search.plan import plan
from fhir_server.search.query import Node, Query
from fhir_server.search.request import parse_search

BASE = "https://cpts.example/fhir"
PARIS = ZoneInfo("Europe/Paris")
NOW = 1_767_600_000_000_000
"""2026-01-05T08:00:00Z."""


def pairs(query: str) -> list[tuple[str, str]]:
    """Return the pairs of a query string that is not percent-encoded."""
    return [(name, value) for name, _, value in (part.partition("=") for part in query.split("&") if part)]


@dataclass(frozen=True)
class Ask:
    """Asks under one registry's definitions."""

    registry: Registry

    def request(
        self,
        type_: str | Sequence[str],
        query: str,
        strict: bool = True,
        limits: SearchLimits = LIMITS,
        refuse_unknown_codes: bool = True,
    ) -> SearchRequest:
        types = (type_,) if isinstance(type_, str) else tuple(type_)
        return parse_search(self.registry, types, pairs(query), strict, limits, refuse_unknown_codes)

    def query(self, type_: str | Sequence[str], query: str, now: int = NOW) -> Query:
        return plan(self.request(type_, query), self.registry, PARIS, (BASE,), now)

    def where(self, type_: str | Sequence[str], query: str) -> Node:
        return self.query(type_, query).where

    def refused(self, type_: str | Sequence[str], query: str, limits: SearchLimits = LIMITS) -> tuple[Issue, ...]:
        """Return the issues of a search that must be refused."""
        try:
            self.request(type_, query, limits=limits)
        except BadRequest as error:
            return error.issues
        raise AssertionError(f"{type_}?{query} was not refused")
