"""One server for all clients; each test writes what it needs under names of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.serving import served


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service base URL of a running server."""
    with served(tmp_path_factory.mktemp("clients")) as url:
        yield url
