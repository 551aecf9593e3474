"""No time passes between a request and its answer: how busy the machine is changes no verdict."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhir_server.france.sas.checking.caller.perf_counter", lambda: 0.0)
