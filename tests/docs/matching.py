"""Whether an answer is what a page says: an excerpt, in which ``…`` stands for whatever is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

ANYTHING: Final = "…"
"""In a text: any characters. As a member or item of its own: whatever else there is."""


def differences(told: Any, got: Any, path: str = "$") -> Iterator[str]:
    """Yield what an answer has otherwise than the page says.

    An object may have members that the page leaves out; an array has the items of the page and no other, unless one of
    them is ``…``.
    """
    if told == ANYTHING:
        return
    if isinstance(told, dict) and isinstance(got, dict):
        for name, value in told.items():
            if name == ANYTHING:
                continue
            if name in got:
                yield from differences(value, got[name], f"{path}.{name}")
            else:
                yield f"{path}.{name} is missing"
    elif isinstance(told, list) and isinstance(got, list):
        yield from _items(told, got, path)
    elif isinstance(told, str) and isinstance(got, str):
        if not matches(told, got):
            yield f"{path} is {got!r}, the page says {told!r}"
    elif told != got or isinstance(told, bool) is not isinstance(got, bool):
        yield f"{path} is {got!r}, the page says {told!r}"


def matches(told: str, got: str) -> bool:
    """Tell whether a text is as told, ``…`` standing for any characters."""
    return re.fullmatch(".*".join(map(re.escape, told.split(ANYTHING))), got, re.DOTALL) is not None


def _items(told: list[Any], got: list[Any], path: str) -> Iterator[str]:
    wanted = [item for item in told if item != ANYTHING]
    if len(wanted) == len(told) and len(told) != len(got):
        yield f"{path} has {len(got)} items, the page says {len(told)}"
    place = 0
    for index, item in enumerate(told):
        if item == ANYTHING:
            continue
        if told[index - 1 : index] == [ANYTHING]:  # the next that is so
            while place < len(got) and any(differences(item, got[place])):
                place += 1
        if place >= len(got):
            yield f"{path} has no item like {item!r}"
            return
        yield from differences(item, got[place], f"{path}[{place}]")
        place += 1
