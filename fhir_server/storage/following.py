"""What may follow what in a log, the same on every engine."""

from __future__ import annotations

from typing import Final

from fhir_server.model.reference import Key
from fhir_server.storage.protocol import (
    ENDED,
    POSITIONS,
    SCHEMA,
    Commit,
    CursorGone,
    Head,
    SchemaTooNew,
    StoreError,
    StoreUnavailable,
)

WRITTEN: Final = "commits are appended verbatim only to a store that has never been written otherwise"


def check_writable(head: Head) -> None:
    """Raise ``StoreUnavailable`` for a log that has ended, ``SchemaTooNew`` for one that a newer program writes."""
    if head.schema == ENDED:
        raise StoreUnavailable("this log has ended: it goes on in another store")
    if head.schema > SCHEMA:
        raise SchemaTooNew(f"the log has schema {head.schema}; this program knows schemas up to {SCHEMA}")


def check_room(changes: int) -> None:
    """Raise ``StoreError`` for more changes than a commit has places."""
    if changes > POSITIONS:
        raise StoreError(f"a commit holds at most {POSITIONS} changes")


def check_version(key: Key, version: int, before: int) -> None:
    """Raise ``StoreError`` unless a version is the one after another, 0 where there is none."""
    if version != before + 1:
        raise StoreError(f"{key}: version {version} cannot follow version {before}")


def check_commit(commit: Commit, head: Head) -> None:
    """Raise ``StoreError`` unless a commit may be appended verbatim after a head."""
    if commit.number != head.number + 1:
        raise StoreError(f"commit {commit.number} cannot follow commit {head.number}")
    if commit.schema > SCHEMA:
        raise StoreError(f"commit {commit.number} has schema {commit.schema}; this program knows {SCHEMA}")


def another_log(held: str, given: str) -> StoreError:
    return StoreError(f"this store holds the log {held}, not {given}")


def check_cursor(after: int, head: Head) -> None:
    """Raise ``CursorGone`` for a place that the log does not have."""
    if after > head.number or after < 0:
        raise CursorGone(f"the log ends at {head.number}; {after} is not a place in it")
