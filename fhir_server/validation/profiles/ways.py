"""Where the path of a discriminator leads: in an item to what it finds, in a definition to what says what to find.

Spec: https://hl7.org/fhir/R4/profiling.html#discriminator
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import EvaluationError, ExpressionError, Item, Path, compile_path
from fhir_server.validation.profiles.run import Run
from fhir_server.validation.profiles.snapshot import Node
from fhir_server.validation.profiles.types import types_of
from fhir_server.validation.profiles.values import choice

_STEP: Final = re.compile(r"(?:^|\.)((?:\$this|[A-Za-z]+(?:\((?:'[^']*'|[^')]*)\))?(?:\[x\])?))")
_CALL: Final = re.compile(r"(ofType|as|extension|resolve)\('?([^')]*)'?\)")


class End(NamedTuple):
    """Where a discriminator's path leads in the definition of a slice; ``resolved``: to the targets of a reference."""

    node: Node
    resolved: bool = False


def evaluate(path: str, item: Item, run: Run) -> list[Item] | None:
    """Return what a path finds from an item, None if it cannot be evaluated. Kept for the next slice that asks."""
    if path == "$this":
        return [item]
    if run.found is not None and run.found[0] is item and run.found[1] == path:
        return run.found[2]
    compiled = _compiled(path.removeprefix("$this."), item.type, run.structures)
    if compiled is None:
        return None
    try:
        found = compiled(item, run.environment)
    except EvaluationError:
        return None
    run.found = (item, path, found)
    return found


@lru_cache(maxsize=4096)
def _compiled(path: str, type_: str, structures: Structures) -> Path | None:
    try:
        return compile_path(path, type_, structures)
    except ExpressionError:
        return None


class Way:
    """A path through the definition of a slice: where it ends, found once unless it leads into other profiles."""

    def __init__(self, path: str, node: Node) -> None:
        self._steps: list[str] = _STEP.findall(path)
        self._node = node
        self._ends: list[End] | None = None
        self.is_settled = True
        """Whether the ends are always the same."""

    def ends(self, run: Run) -> list[End]:
        """Return where the path leads: the element itself first, then its mandatory slices, then others."""
        if self._ends is not None and self.is_settled:
            return self._ends
        ends = [End(self._node)]
        for step in self._steps:
            ends = [after for end in ends for after in self._after(end, step, run)]
        self._ends = ends
        return ends

    def _after(self, end: End, step: str, run: Run) -> Iterable[End]:
        node = end.node
        if step == "$this":
            return [end]
        call = _CALL.fullmatch(step)
        if call is None:
            return self._named(node, step, run)
        match call[1]:
            case "resolve":
                return [End(node, True)]
            case "extension":
                children = self._named(node, "extension", run)
                return [one for one in children if call[2] in {extension_url(one.node), _fixed_url(one.node)}]
        typed = [slice_ for slice_ in node.slices.values() if call[2] in {one.code for one in types_of(slice_)}]
        return [End(one, end.resolved) for one in (*typed, node)]

    def _named(self, node: Node, name: str, run: Run) -> list[End]:
        child = _child(node, name)
        if child is not None:
            return _with_slices(child)
        profiles = [profile for type_ in types_of(node) for profile in type_.profiles]
        if profiles:
            self.is_settled = False
        roots = [root for profile in profiles if (root := run.tree(profile)) is not None]
        return [end for root in roots if (found := _child(root, name)) is not None for end in _with_slices(found)]


def plain_end(path: str, node: Node) -> Node | None:
    """Return the element at the end of a path of names, None if there is none or the path is more than that."""
    end: Node | None = node
    for name in path.split("."):
        end = end if end is None or name == "$this" else _child(end, name)
    return end


def _child(node: Node, name: str) -> Node | None:
    return node.children.get(name) or node.children.get(f"{name}[x]")


def _with_slices(child: Node) -> list[End]:
    slices = sorted(child.slices.values(), key=lambda slice_: not least(slice_))
    return [End(child), *map(End, slices)]


def _fixed_url(node: Node) -> str | None:
    url = node.children.get("url")
    fixed = choice(url.definition, "fixed") if url is not None else None
    return fixed[1] if fixed is not None and isinstance(fixed[1], str) else None


def extension_url(node: Node) -> str | None:
    """Return the URL that an extension has by its profile, which says it whether it is loaded or not."""
    types = types_of(node)
    if len(types) == 1 and types[0].code == "Extension" and len(types[0].profiles) == 1:
        return types[0].profiles[0].partition("|")[0]
    return None


def least(node: Node) -> int:
    least = node.definition.get("min")
    return least if isinstance(least, int) else 0
