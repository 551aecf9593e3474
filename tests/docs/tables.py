"""What the code's own tables hold, for comparison with those of the documentation."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fhir_server.interactions import routes
from fhir_server.validation.kinds import KINDS, PRIMITIVES, PROFILE_KINDS
from tests.docs.reading import ROOT

SOURCE: Final = ROOT / "fhir_server"

_ELSEWHERE: Final = frozenset(("demo",))
"""Rooms that make resources, not issues."""

_SHAPES: Final = {
    "": "[base]",
    "metadata": "[base]/metadata",
    "_search": "[base]/_search",
    "_history": "[base]/_history",
    "type": "[base]/[type]",
    "type/_search": "[base]/[type]/_search",
    "type/_history": "[base]/[type]/_history",
    "type/id": "[base]/[type]/[id]",
    "type/id/_history": "[base]/[type]/[id]/_history",
    "type/id/_history/version": "[base]/[type]/[id]/_history/[version]",
    "compartment/id/type": "[base]/[compartment]/[id]/[type]",
    "compartment/id/type/_search": "[base]/[compartment]/[id]/[type]/_search",
    "$operation": "[base]/$[operation]",
    "type/$operation": "[base]/[type]/$[operation]",
    "type/id/$operation": "[base]/[type]/[id]/$[operation]",
}
"""The shapes of paths as the pages write them."""


def urls() -> set[tuple[str, str]]:
    """Return (method, path) of all that is served."""
    served = routes.BY_SHAPE
    return {(method, _SHAPES[shape]) for shape, methods in served.items() for method in methods}


def issue_ids() -> set[str]:
    """Return the stable ids of issues that the code gives; ``<type>`` and ``<key>`` stand for the many."""
    found = {_general(id_) for file in _modules() for id_ in _ids(file)}
    return found | {_general(id_) for id_ in (*KINDS, *PROFILE_KINDS)}


def _modules() -> Iterator[Path]:
    return (file for file in sorted(SOURCE.rglob("*.py")) if not _ELSEWHERE & set(file.parts))


def _general(id_: str) -> str:
    """Return the name of a family of ids: of primitive types, of invariants."""
    head, _, rest = id_.partition("-")
    if head in {"type", "format"} and rest in PRIMITIVES:
        return f"{head}-<type>"
    return "invariant-<key>" if id_ == "invariant" or (head == "invariant" and rest != "not-checked") else id_


def _ids(file: Path) -> Iterator[str]:
    """Yield the ids that a module names where it makes an issue, or hands one to what makes it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "id_":
            yield from _texts(node.value)
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        given = [word.value for word in node.keywords if word.arg == "id"] if name == "Issue" else []
        if name == "Issue" and len(node.args) == 5:
            given.append(node.args[4])
        if name in _MAKERS:
            given.append(node.args[_MAKERS[name]])
        for value in given:
            yield from _texts(value)


_MAKERS: Final = {"_not_json": 1, "_not_found": 1}
"""Functions that take an id, and its place among their arguments."""


def _texts(value: ast.expr) -> Iterator[str]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.IfExp):
        yield from _texts(value.body)
        yield from _texts(value.orelse)
