"""A room imports only from rooms below it, and the engine needs no French room."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "fhir_server").rglob("*.py"))
FRENCH = "fhir_server.france"
COMPOSES = "fhir_server.app"
"""The one module that may need the French room."""

IMPORT_WITHOUT_FRANCE = """
import importlib, sys

class Closed:
    def find_spec(self, name, path=None, target=None):
        if name == "fhir_server.france" or name.startswith("fhir_server.france."):
            raise ImportError("the French room is closed")

sys.meta_path.insert(0, Closed())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_import_contracts_are_kept() -> None:
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    result = python("-c", command, "--no-logo", "--no-cache")
    assert result.returncode == 0, result.stdout + result.stderr


def test_engine_is_imported_whole_without_the_french_room() -> None:
    names = [module_name(path) for path in MODULES]
    names = [name for name in names if name != COMPOSES and not name.startswith(FRENCH)]
    assert len(names) > 10
    result = python("-c", IMPORT_WITHOUT_FRANCE, *names)
    assert result.returncode == 0, result.stderr


def test_french_room_is_closed_to_that_test() -> None:
    result = python("-c", IMPORT_WITHOUT_FRANCE, FRENCH)
    assert result.returncode != 0
    assert "the French room is closed" in result.stderr


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_module_opens_with_its_purpose(path: Path) -> None:
    purpose = ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8")))
    assert purpose, f"{path} has no docstring"
    assert len(purpose.split("\n\n")[0]) >= 20, f"{path} says too little of its purpose"
