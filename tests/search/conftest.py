"""What tests of search share: R4's definitions, loaded once, and how a query string becomes a query."""

from __future__ import annotations

import pytest

from fhir_server.definitions.registry import Registry
from fhir_server.search.index import Indexer
from tests.search.asking import BASE, PARIS, Ask
from tests.search.worlds import TYPES


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.load()


@pytest.fixture(scope="session")
def indexer(registry: Registry) -> Indexer:
    return Indexer(registry, PARIS, (BASE,))


@pytest.fixture(scope="session")
def ask(registry: Registry) -> Ask:
    return Ask(registry)


@pytest.fixture(scope="session")
def wide_registry() -> Registry:
    """The registry of a server that has numbers and quantities too."""
    return Registry.load(TYPES)


@pytest.fixture(scope="session")
def wide_indexer(wide_registry: Registry) -> Indexer:
    return Indexer(wide_registry, PARIS, (BASE,))


@pytest.fixture(scope="session")
def wide(wide_registry: Registry) -> Ask:
    return Ask(wide_registry)
