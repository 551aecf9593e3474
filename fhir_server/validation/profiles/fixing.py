"""What an element of a definition fixes, as a test of values: itself, or by what is below it.

Spec: https://hl7.org/fhir/R4/profiling.html#discriminator
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from fhir_server.fhirpath import Item
from fhir_server.validation.profiles.bindings import in_value_set, required_value_set
from fhir_server.validation.profiles.run import Run
from fhir_server.validation.profiles.snapshot import Node
from fhir_server.validation.profiles.values import choice, equals, has
from fhir_server.validation.profiles.ways import extension_url, least

Test = Callable[[Item, Run], bool | None]
"""Whether an item is of a slice; None if that cannot be told."""

_DEEP: Final = 8
"""Levels below the end of a path where fixed values are looked for."""


def value_test(node: Node, depth: int = 0) -> Test | None:
    """Return the test of what an element fixes, or else of the codes that it must be of. None if it says neither."""
    if (fixed := fixed_test(node, depth)) is not None:
        return fixed
    value_set = required_value_set(node)
    return None if value_set is None else lambda item, run: in_value_set(item, value_set, run)


def fixed_test(node: Node, depth: int = 0) -> Test | None:
    """Return the test of what an element fixes: itself, or else by what is below it. None if it fixes nothing."""
    if (fixed := choice(node.definition, "fixed")) is not None:
        return lambda item, run: equals(item.value, fixed[1])
    if (pattern := choice(node.definition, "pattern")) is not None:
        return lambda item, run: has(item.value, pattern[1])
    if (url := extension_url(node)) is not None:
        return has_url(url)
    below = [*_tests_below(node, depth)] if depth < _DEEP else []
    if not below:
        return None
    return lambda item, run: all_of(
        any_of(inner(child, run) for child in run.children(item, name)) for name, inner in below
    )


def _tests_below(node: Node, depth: int) -> Iterator[tuple[str, Test]]:
    for child in node.children.values():
        stem = child.name.removesuffix("[x]")
        if (test := value_test(child, depth + 1)) is not None and depth < _DEEP:
            yield stem, test
        for slice_ in child.slices.values():
            if least(slice_) and (test := value_test(slice_, depth + 1)) is not None:
                yield stem, test


def has_url(url: str) -> Test:
    return lambda item, run: isinstance(item.value, dict) and item.value.get("url") == url


def any_of(results: Iterable[bool | None]) -> bool | None:
    """Return true if one is, else None if one is."""
    listed = list(results)
    return True if True in listed else None if None in listed else False


def all_of(results: Iterable[bool | None]) -> bool | None:
    listed = list(results)
    return False if False in listed else None if None in listed else True
