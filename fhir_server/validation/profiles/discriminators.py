"""To which slice an item belongs: a discriminator names a path, the slice's definition what is found there.

Spec: https://hl7.org/fhir/R4/profiling.html#discriminator
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from fhir_server.definitions.structures import Structures
from fhir_server.fhirpath import EvaluationError, ExpressionError, Item, Path, compile_path
from fhir_server.validation.profiles.bindings import in_value_set, required_value_set
from fhir_server.validation.profiles.run import Run
from fhir_server.validation.profiles.snapshot import Node
from fhir_server.validation.profiles.types import any_error, core_type, types_of
from fhir_server.validation.profiles.values import choice, equals, has

Test = Callable[[Item, Run], bool | None]
"""Whether an item is of a slice; None if that cannot be told."""

_STEP: Final = re.compile(r"(?:^|\.)((?:\$this|[A-Za-z]+(?:\((?:'[^']*'|[^')]*)\))?(?:\[x\])?))")
_CALL: Final = re.compile(r"(ofType|as|extension|resolve)\('?([^')]*)'?\)")
_DEEP: Final = 8
"""Levels below the end of a path where fixed values are looked for."""


class Discriminator(NamedTuple):
    """``type`` as in R4: value, exists, pattern, type, profile."""

    type: str
    path: str


class _End(NamedTuple):
    """Where a discriminator's path leads in the definition of a slice; ``resolved``: to the targets of a reference."""

    node: Node
    resolved: bool = False


def slice_test(discriminators: Sequence[Discriminator], node: Node, about: str) -> Test:
    """Return the test of a slice: all of its discriminators hold. ``about`` names it where that cannot be told."""
    tests = [_TESTS[one.type](one.path, node) for one in discriminators if one.type in _TESTS]
    is_whole = bool(tests) and len(tests) == len(discriminators)

    def test(item: Item, run: Run) -> bool | None:
        results = [one(item, run) for one in tests]
        if any(result is False for result in results):
            return False
        if is_whole and None not in results:
            return True
        run.note("slicing-not-checked", about, f"{about}: what its discriminators ask for cannot be told")
        return None

    return test


# --- value and pattern -----------------------------------------------------------------------------------------------


def _value(path: str, node: Node) -> Test:
    url = _extension_url(node)
    if path == "url" and url is not None:
        return _has_url(url)
    way = _Way(path, node)
    wanted: Test | None = None

    def test(item: Item, run: Run) -> bool | None:
        nonlocal wanted
        ends = way.ends(run)
        if wanted is None or not way.is_settled:
            wanted = next((one for end in ends if (one := value_test(end.node)) is not None), None)
        items = _evaluate(path, item, run)
        if items is None:
            return None
        if wanted is None:
            return _through_profiles(ends, items, run)
        return _any([wanted(one, run) if one.value or not _is_absent(one, run) else None for one in items])

    return test


def _through_profiles(ends: Sequence[_End], items: Sequence[Item], run: Run) -> bool | None:
    """Tell by the profiles of the end's type, where they hold what the element itself does not say."""
    profiles = [profile for end in ends for type_ in types_of(end.node) for profile in type_.profiles]
    if not profiles or not items:
        return None if not profiles else False
    return _any(_conforms(item, profile, run) for item in items for profile in profiles)


def value_test(node: Node, depth: int = 0) -> Test | None:
    """Return the test of what an element fixes: itself, or else by what is below it. None if it fixes nothing."""
    if (fixed := choice(node.definition, "fixed")) is not None:
        return lambda item, run: equals(item.value, fixed[1])
    if (pattern := choice(node.definition, "pattern")) is not None:
        return lambda item, run: has(item.value, pattern[1])
    if (url := _extension_url(node)) is not None:
        return _has_url(url)
    below = [*_tests_below(node, depth)] if depth < _DEEP else []
    if below:
        return lambda item, run: _all(
            _any(inner(child, run) for child in run.children(item, name)) for name, inner in below
        )
    value_set = required_value_set(node)
    return None if value_set is None else lambda item, run: in_value_set(item, value_set, run)


def _tests_below(node: Node, depth: int) -> Iterator[tuple[str, Test]]:
    for child in node.children.values():
        stem = child.name.removesuffix("[x]")
        if (test := value_test(child, depth + 1)) is not None and depth < _DEEP:
            yield stem, test
        for slice_ in child.slices.values():
            if _least(slice_) and (test := value_test(slice_, depth + 1)) is not None:
                yield stem, test


def _has_url(url: str) -> Test:
    return lambda item, run: isinstance(item.value, dict) and item.value.get("url") == url


def _extension_url(node: Node) -> str | None:
    """Return the URL that an extension has by its profile, which says it whether it is loaded or not."""
    types = types_of(node)
    if len(types) == 1 and types[0].code == "Extension" and len(types[0].profiles) == 1:
        return types[0].profiles[0].partition("|")[0]
    return None


# --- exists, type, profile -------------------------------------------------------------------------------------------


def _exists(path: str, node: Node) -> Test:
    way = _Way(path, node)

    def test(item: Item, run: Run) -> bool | None:
        items = _evaluate(path, item, run)
        if items is None:
            return None
        for end in way.ends(run):
            if end.node.definition.get("max") == "0":
                return not items
            if _least(end.node):
                return bool(items)
        return None

    return test


def _type(path: str, node: Node) -> Test:
    way = _Way(path, node)

    def test(item: Item, run: Run) -> bool | None:
        items = _evaluate(path, item, run)
        if items is None:
            return None
        for end in way.ends(run):
            codes = _codes(end, run)
            if codes is None:
                return None
            if codes:
                return _any(any(run.structures.is_a(one.type, code) for code in codes) for one in items)
        return None

    return test


def _codes(end: _End, run: Run) -> list[str] | None:
    """Return the types at the end of a path, None if one of them is that of a profile which is not loaded."""
    if not end.resolved:
        return [type_.code for type_ in types_of(end.node)]
    codes = []
    for type_ in types_of(end.node):
        for target in type_.targets:
            code = type_of_profile(target, run)
            if code is None:
                return None
            codes.append(code)
    return codes


def _profile(path: str, node: Node) -> Test:
    way = _Way(path, node)

    def test(item: Item, run: Run) -> bool | None:
        items = _evaluate(path, item, run)
        if items is None:
            return None
        for end in way.ends(run):
            types = types_of(end.node)
            profiles = [one for type_ in types for one in (type_.targets if end.resolved else type_.profiles)]
            if profiles:
                return _any(
                    None if _is_absent(one, run) else _conforms(one, profile, run)
                    for one in items
                    for profile in profiles
                )
        return None

    return test


def _conforms(item: Item, profile: str, run: Run) -> bool | None:
    core = core_type(profile, run.structures)
    if core is not None:
        return run.structures.is_a(item.type, core)
    type_ = type_of_profile(profile, run)
    if type_ is not None and not run.structures.is_a(item.type, type_):
        return False
    faults = run.conforms(item, profile)
    return None if faults is None else not any_error(faults)


def type_of_profile(canonical: str, run: Run) -> str | None:
    """Return the type that a profile constrains, None (noted) if it is not loaded."""
    core = core_type(canonical, run.structures)
    if core is not None:
        return core
    definition = run.find(canonical)
    type_ = definition.get("type") if definition is not None else None
    if not isinstance(type_, str):
        run.note("profile-not-checked", canonical, f"the profile {canonical} is not loaded")
        return None
    return type_


# --- paths -----------------------------------------------------------------------------------------------------------


def _evaluate(path: str, item: Item, run: Run) -> list[Item] | None:
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


class _Way:
    """A path through the definition of a slice: where it ends, found once unless it leads into other profiles."""

    def __init__(self, path: str, node: Node) -> None:
        self._steps: list[str] = _STEP.findall(path)
        self._node = node
        self._ends: list[_End] | None = None
        self.is_settled = True
        """Whether the ends are always the same."""

    def ends(self, run: Run) -> list[_End]:
        """Return where the path leads: the element itself first, then its mandatory slices, then others."""
        if self._ends is not None and self.is_settled:
            return self._ends
        ends = [_End(self._node)]
        for step in self._steps:
            ends = [after for end in ends for after in self._after(end, step, run)]
        self._ends = ends
        return ends

    def _after(self, end: _End, step: str, run: Run) -> Iterable[_End]:
        node = end.node
        if step == "$this":
            return [end]
        call = _CALL.fullmatch(step)
        if call is None:
            return self._named(node, step, run)
        match call[1]:
            case "resolve":
                return [_End(node, True)]
            case "extension":
                children = self._named(node, "extension", run)
                return [one for one in children if call[2] in {_extension_url(one.node), _fixed_url(one.node)}]
        typed = [slice_ for slice_ in node.slices.values() if call[2] in {one.code for one in types_of(slice_)}]
        return [_End(one, end.resolved) for one in (*typed, node)]

    def _named(self, node: Node, name: str, run: Run) -> list[_End]:
        child = _child(node, name)
        if child is not None:
            return _with_slices(child)
        profiles = [profile for type_ in types_of(node) for profile in type_.profiles]
        if profiles:
            self.is_settled = False
        roots = [root for profile in profiles if (root := run.tree(profile)) is not None]
        return [end for root in roots if (found := _child(root, name)) is not None for end in _with_slices(found)]


def _child(node: Node, name: str) -> Node | None:
    return node.children.get(name) or node.children.get(f"{name}[x]")


def _with_slices(child: Node) -> list[_End]:
    slices = sorted(child.slices.values(), key=lambda slice_: not _least(slice_))
    return [_End(child), *map(_End, slices)]


def _fixed_url(node: Node) -> str | None:
    url = node.children.get("url")
    fixed = choice(url.definition, "fixed") if url is not None else None
    return fixed[1] if fixed is not None and isinstance(fixed[1], str) else None


def _is_absent(item: Item, run: Run) -> bool:
    """Tell whether an item stands for a resource that is not at hand."""
    return not item.value and run.is_resource(item)


def _least(node: Node) -> int:
    least = node.definition.get("min")
    return least if isinstance(least, int) else 0


def _any(results: Iterable[bool | None]) -> bool | None:
    """Return true if one is, else None if one is."""
    listed = list(results)
    return True if True in listed else None if None in listed else False


def _all(results: Iterable[bool | None]) -> bool | None:
    listed = list(results)
    return False if False in listed else None if None in listed else True


_TESTS: Final = {"value": _value, "pattern": _value, "exists": _exists, "type": _type, "profile": _profile}
