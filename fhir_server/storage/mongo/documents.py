"""The documents of a log: a commit, a row of a version, a resource.

A commit is one document: its insertion is the moment of truth. It carries the bodies by position, so that one of them
can be read without the others, and the index entries, so that whoever comes next can finish what its writer began.
Everything else is a projection of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.search.query import Equality, IndexEntry, Point, Span, Text
from fhir_server.storage.mongo.connection import Document
from fhir_server.storage.mongo.values import index_values
from fhir_server.storage.protocol import POSITIONS, Address, Commit, Stored

INTERACTIONS: Final = {str(interaction): interaction for interaction in Interaction}
_KINDS: Final[dict[str, type[IndexEntry]]] = {"e": Equality, "t": Text, "s": Span, "p": Point}
_LETTERS: Final = {kind: letter for letter, kind in _KINDS.items()}

Values: TypeAlias = Callable[[Iterable[IndexEntry]], Document]

HEADER: Final = ("ordinal", "number", "position", "version", "interaction", "updated", "generation", "body")
"""What is read of a resource's document."""


@dataclass(frozen=True, slots=True)
class Written:
    """A change with its place in the log and in the order of creation."""

    stored: Stored
    ordinal: int
    entries: tuple[IndexEntry, ...]


def place(address: Address) -> int:
    """Return an address as one integer."""
    return address.number * POSITIONS + address.position


def address(place: int) -> Address:
    return Address(*divmod(place, POSITIONS))


# --- a commit --------------------------------------------------------------------------------------------------------


def commit_document(commit: Commit, changes: Sequence[Written], token: str, *, copied: bool = False) -> Document:
    """Return what is inserted. ``copied``: appended verbatim, not by a plan."""
    document: Document = {
        "_id": commit.number,
        "token": token,
        "instant": commit.instant,
        "generation": commit.generation,
        "schema": commit.schema,
        "changes": [_change_document(change) for change in changes],
        "bodies": {
            str(position): change.stored.body
            for position, change in enumerate(changes)
            if change.stored.body is not None
        },
    }
    if copied:
        document["copied"] = True
    return document


def _change_document(change: Written) -> Document:
    stored = change.stored
    return {
        "type": stored.key.type,
        "id": stored.key.id,
        "version": stored.version,
        "interaction": str(stored.interaction),
        "generation": stored.generation,
        "ordinal": change.ordinal,
        "entries": write_entries(change.entries),
    }


def write_entries(entries: Iterable[IndexEntry]) -> bytes:
    """Return entries as they lie in a commit, where nobody searches them."""
    rows = [[_LETTERS[entry.__class__], *entry] for entry in entries]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode() if rows else b""


def read_entries(data: bytes) -> tuple[IndexEntry, ...]:
    return tuple(_KINDS[row[0]](*row[1:]) for row in json.loads(data)) if data else ()


def commit_of(document: Mapping[str, Any]) -> Commit:
    """Return the commit that a document holds."""
    changes = tuple(
        _stored(document, position, change, document["bodies"].get(str(position)))
        for position, change in enumerate(document["changes"])
    )
    return Commit(document["_id"], document["instant"], document["generation"], document["schema"], changes)


def written_of(document: Mapping[str, Any]) -> list[Written]:
    """Return the changes of a commit's document with their entries."""
    commit = commit_of(document)
    return [
        Written(stored, change["ordinal"], read_entries(change["entries"]))
        for stored, change in zip(commit.changes, document["changes"], strict=True)
    ]


def _stored(document: Mapping[str, Any], position: int, change: Mapping[str, Any], body: bytes | None) -> Stored:
    return Stored(
        Key(change["type"], change["id"]),
        change["version"],
        document["instant"],
        INTERACTIONS[change["interaction"]],
        body,
        Address(document["_id"], position),
        change["generation"],
    )


# --- the projection --------------------------------------------------------------------------------------------------


def resource_document(change: Written, values: Values = index_values) -> Document:
    """Return the document of a resource as a change left it; of a deleted one nothing is found any more.

    ``values`` makes the fields that it is found by of its entries.
    """
    stored = change.stored
    document: Document = {
        "_id": stored.key.id,
        "ordinal": change.ordinal,
        "number": stored.address.number,
        "position": stored.address.position,
        "version": stored.version,
        "interaction": str(stored.interaction),
        "updated": stored.instant,
        "generation": stored.generation,
        "live": stored.body is not None,
    }
    if stored.body is not None:
        document["body"] = stored.body
        document.update(values(change.entries))
    return document


def stored_of(type: str, document: Mapping[str, Any]) -> Stored:
    """Return the version that a resource's document holds."""
    return Stored(
        Key(type, document["_id"]),
        document["version"],
        document["updated"],
        INTERACTIONS[document["interaction"]],
        document.get("body"),
        Address(document["number"], document["position"]),
        document["generation"],
    )


def version_row(change: Written) -> Document:
    """Return the row by which a version is found; its body is in the commit."""
    stored = change.stored
    return {
        "_id": place(stored.address),
        "type": stored.key.type,
        "id": stored.key.id,
        "version": stored.version,
        "interaction": str(stored.interaction),
        "instant": stored.instant,
        "generation": stored.generation,
        "deleted": stored.is_deleted,
    }


def version_of(row: Mapping[str, Any], body: bytes | None) -> Stored:
    return Stored(
        Key(row["type"], row["id"]),
        row["version"],
        row["instant"],
        INTERACTIONS[row["interaction"]],
        body,
        address(row["_id"]),
        row["generation"],
    )
