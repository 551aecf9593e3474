"""What a Reference's text can be. https://hl7.org/fhir/R4/references.html"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from fhir_server.model.primitives import ID

_LOCAL: Final = re.compile(
    r"(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})(?:/_history/(?P<version>[A-Za-z0-9\-.]{1,64}))?"
)


class Key(NamedTuple):
    """The type and logical id of a resource."""

    type: str
    id: str

    def __str__(self) -> str:
        return f"{self.type}/{self.id}"


class Local(NamedTuple):
    """A literal reference to a resource of this server, perhaps to one version."""

    key: Key
    version: str | None


def local(text: str, bases: Sequence[str] = ()) -> Local | None:
    """Return what ``Type/id[/_history/vid]`` names, relative or under one of our service base URLs, else None.

    ``bases`` are without a final slash. Contained (``#id``), ``urn:`` and foreign absolute references are None.
    """
    rests = (text[len(base) + 1 :] for base in bases if text.startswith(f"{base}/"))
    for rest in (text, *rests):
        match = _LOCAL.fullmatch(rest)
        if match is not None:
            type_, id_, version = match.groups()
            return Local(Key(type_, id_), version)
    return None


def type_named(text: str) -> str | None:
    """Return the resource type that a relative or absolute literal reference names, or None."""
    parts = text.split("/")
    if "_history" in parts:
        parts = parts[: parts.index("_history")]
    if len(parts) >= 2 and ID.fullmatch(parts[-1]) and parts[-2][:1].isupper() and parts[-2].isalpha():
        return parts[-2]
    return None


def references(value: Any) -> Iterator[dict[str, Any]]:
    """Yield each JSON object with a literal ``reference`` text inside a resource, contained resources included."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            if isinstance(item.get("reference"), str):
                yield item
            todo.extend(child for child in item.values() if isinstance(child, dict | list))
        elif isinstance(item, list):
            todo.extend(child for child in item if isinstance(child, dict | list))
