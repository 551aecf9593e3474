"""What all tests share: a server that speaks MongoDB's wire protocol, one for each process of the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.mongo_server import server


@pytest.fixture(scope="session")
def mongo_uri() -> Iterator[str]:
    """The URI of a server without a database. Without one to be had: skipped aloud, and under CI a failure."""
    reason = server.missing()
    if reason is not None:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with server.serving() as uri:
        yield uri


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not tested: a skip alone is easily overlooked."""
    reason = server.missing()
    if reason is not None:
        terminalreporter.write_line(f"WARNING: {reason}", yellow=True)
