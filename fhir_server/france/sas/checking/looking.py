"""Looking into JSON of others, of which any part may have any shape: what is not as expected is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

_OWNER: Final = re.compile(r"([A-Z][A-Za-z]+/[A-Za-z0-9.\-]{1,64})(?:/_history/[A-Za-z0-9.\-]+)?$")


def objects(node: Any, *path: str) -> list[dict[str, Any]]:
    """Return the objects at a path, arrays passed through."""
    return [one for one in _at(node, path) if isinstance(one, dict)]


def texts(node: Any, *path: str) -> list[str]:
    """Return the strings at a path, arrays passed through."""
    return [one for one in _at(node, path) if isinstance(one, str)]


def text(node: Any, *path: str) -> str:
    """Return the first string at a path; empty: there is none."""
    return next(iter(texts(node, *path)), "")


def name_of(resource: Any) -> str:
    """Return ``Type/id`` of a resource."""
    return f"{text(resource, 'resourceType') or '?'}/{text(resource, 'id') or '?'}"


def name_in(reference: str) -> str:
    """Return ``Type/id`` out of a reference, whatever its base and version; one of another form as it is."""
    found = _OWNER.search(reference)
    return found[1] if found else reference


def empties(node: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of values that are empty or null. Nulls that keep places in an array beside another are legal."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _empty(value, f"{path}.{name}" if path else name)
    elif isinstance(node, list):
        for place, value in enumerate(node):
            if value is not None:
                yield from _empty(value, f"{path}[{place}]")


def without_empties(node: Any) -> Any:
    """Return the same without what ``empties`` finds."""
    if isinstance(node, dict):
        return {name: without_empties(value) for name, value in node.items() if not _is_empty(value)}
    if isinstance(node, list):
        return [
            None if value is None else without_empties(value) for value in node if value is None or not _is_empty(value)
        ]
    return node


def _empty(value: Any, path: str) -> Iterator[str]:
    if _is_empty(value):
        yield path
    else:
        yield from empties(value, path)


def _is_empty(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, str) and not value.strip())
        or (isinstance(value, dict | list) and not value)
    )


def _at(node: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if isinstance(node, list):
        for one in node:
            yield from _at(one, path)
    elif not path:
        yield node
    elif isinstance(node, dict):
        yield from _at(node.get(path[0]), path[1:])
