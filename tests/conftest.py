"""What all tests share, in each of their processes: a server that speaks MongoDB's wire protocol, and what prepares."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest
from hypothesis import settings

from fhir_server.interactions.preparing import InProcesses
from fhir_server.interactions.tools import Tools
from fhir_server.settings import Settings
from tests.mongo_server import server

settings.register_profile("without a clock", deadline=None)  # a busy machine proves nothing
settings.load_profile("without a clock")


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


@pytest.fixture(scope="session", autouse=True)
def _one_preparer() -> Iterator[None]:
    """Let all servers in this process share what prepares large Bundles, one for each kind of tools: to start its
    process takes longer than a test. ``tests/interactions/test_preparing.py`` starts and ends its own."""
    with ExitStack() as until_the_end, pytest.MonkeyPatch.context() as patch:

        @functools.cache
        def preparer(make_tools: Callable[[Settings], Tools], settings: Settings, processes: int) -> Shared:
            made = until_the_end.enter_context(closing(InProcesses(functools.partial(make_tools, settings), processes)))
            return Shared(made)

        def shared(own: functools.partial[Tools], processes: int) -> Shared:
            return preparer(own.func, replace(own.args[0], store=""), processes)

        patch.setattr("fhir_server.app.InProcesses", shared)
        yield


class Shared:
    """What prepares for several servers: none of them ends it."""

    def __init__(self, preparer: InProcesses) -> None:
        self.prepare = preparer.prepare

    def close(self) -> None:
        """Leave it to the others."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not tested: a skip alone is easily overlooked."""
    reason = server.missing()
    if reason is not None:
        terminalreporter.write_line(f"WARNING: {reason}", yellow=True)
