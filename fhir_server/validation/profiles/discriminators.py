"""To which slice an item belongs: a discriminator names a path, the slice's definition what is found there.

Spec: https://hl7.org/fhir/R4/profiling.html#discriminator
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from fhir_server.fhirpath import Item
from fhir_server.validation.profiles.bindings import required_value_set
from fhir_server.validation.profiles.fixing import Test, any_of, fixed_test, has_url, value_test
from fhir_server.validation.profiles.run import Run
from fhir_server.validation.profiles.snapshot import Node
from fhir_server.validation.profiles.types import any_error, core_type, type_of_profile, types_of
from fhir_server.validation.profiles.ways import End, Way, evaluate, extension_url, least, plain_end


class Discriminator(NamedTuple):
    """``type`` as in R4: value, exists, pattern, type, profile."""

    type: str
    path: str


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


def is_loose(discriminator: Discriminator, node: Node) -> bool:
    """Tell whether what a slice takes depends on more than its own elements: on a profile, or on a list of codes.

    An item may then miss its slice by a code that is spelled otherwise, or by a fault that is not told.
    """
    if discriminator.type == "profile":
        return True
    end = plain_end(discriminator.path, node) if discriminator.type in {"value", "pattern"} else None
    return end is not None and fixed_test(end) is None and required_value_set(end) is not None


# --- value and pattern -----------------------------------------------------------------------------------------------


def _value(path: str, node: Node) -> Test:
    url = extension_url(node)
    if path == "url" and url is not None:
        return has_url(url)
    way = Way(path, node)
    wanted: Test | None = None

    def test(item: Item, run: Run) -> bool | None:
        nonlocal wanted
        ends = way.ends(run)
        if wanted is None or not way.is_settled:
            wanted = next((one for end in ends if (one := value_test(end.node)) is not None), None)
        items = evaluate(path, item, run)
        if items is None:
            return None
        if wanted is None:
            return _through_profiles(ends, items, run)
        return any_of([wanted(one, run) if one.value or not _is_absent(one, run) else None for one in items])

    return test


def _through_profiles(ends: Sequence[End], items: Sequence[Item], run: Run) -> bool | None:
    """Tell by the profiles of the end's type, where they hold what the element itself does not say."""
    profiles = [profile for end in ends for type_ in types_of(end.node) for profile in type_.profiles]
    if not profiles or not items:
        return None if not profiles else False
    return any_of(_conforms(item, profile, run) for item in items for profile in profiles)


# --- exists, type, profile -------------------------------------------------------------------------------------------


Judge = Callable[[Sequence[End], Sequence[Item], Run], bool | None]
"""Tells by the ends of a path in the definition whether what it finds in an item fits; None if that cannot be told."""


def _judged(judge: Judge, path: str, node: Node) -> Test:
    way = Way(path, node)

    def test(item: Item, run: Run) -> bool | None:
        items = evaluate(path, item, run)
        return None if items is None else judge(way.ends(run), items, run)

    return test


def _exists(ends: Sequence[End], items: Sequence[Item], run: Run) -> bool | None:
    for end in ends:
        if end.node.definition.get("max") == "0":
            return not items
        if least(end.node):
            return bool(items)
    return None


def _type(ends: Sequence[End], items: Sequence[Item], run: Run) -> bool | None:
    for end in ends:
        codes = _codes(end, run)
        if codes is None:
            return None
        if codes:
            return any_of(any(run.structures.is_a(one.type, code) for code in codes) for one in items)
    return None


def _codes(end: End, run: Run) -> list[str] | None:
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


def _profile(ends: Sequence[End], items: Sequence[Item], run: Run) -> bool | None:
    for end in ends:
        types = types_of(end.node)
        profiles = [one for type_ in types for one in (type_.targets if end.resolved else type_.profiles)]
        if profiles:
            return any_of(
                None if _is_absent(one, run) else _conforms(one, profile, run) for one in items for profile in profiles
            )
    return None


def _conforms(item: Item, profile: str, run: Run) -> bool | None:
    core = core_type(profile, run.structures)
    if core is not None:
        return run.structures.is_a(item.type, core)
    type_ = type_of_profile(profile, run)
    if type_ is not None and not run.structures.is_a(item.type, type_):
        return False
    faults = run.conforms(item, profile)
    return None if faults is None else not any_error(faults)


def _is_absent(item: Item, run: Run) -> bool:
    """Tell whether an item stands for a resource that is not at hand."""
    return not item.value and run.is_resource(item)


_TESTS: Final[Mapping[str, Callable[[str, Node], Test]]] = {
    "value": _value,
    "pattern": _value,
    "exists": partial(_judged, _exists),
    "type": partial(_judged, _type),
    "profile": partial(_judged, _profile),
}
