"""The server as clients meet it: a process of its own, behind a real socket."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent.parent


@contextmanager
def served(folder: Path, *flags: str) -> Iterator[str]:
    """Serve an empty store in ``folder`` for a while; yield the service base URL."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_")}
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "fhir_server",
            "serve",
            "--port",
            "0",
            "--log-level",
            "error",
            "--no-definitions",
            *flags,
        ],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert " answers at " in first, first
        yield first.rsplit(" ", 1)[1].strip().rstrip("/")
    finally:
        process.terminate()
        process.communicate(timeout=30)


def client_library(name: str) -> ModuleType:
    """Import a client library; without it the tests are skipped aloud, but in CI they fail."""
    if os.environ.get("CI"):
        return importlib.import_module(name)
    module: ModuleType = pytest.importorskip(name, reason=f"{name} is not installed: pip install '.[test]'")
    return module
