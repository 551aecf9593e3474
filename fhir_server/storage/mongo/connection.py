"""The driver's client, and what is asked of every command: concerns, time limits, errors in the store's own words.

Motor is imported in this room only (``docs/decisions/0013-motor.md``).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias
from warnings import catch_warnings, simplefilter

from bson.errors import InvalidDocument
from pymongo import ReadPreference
from pymongo.errors import ConfigurationError, ExecutionTimeout, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from fhir_server.storage.protocol import QueryTimeout, QueryTooCostly, StoreError, StoreUnavailable

# Read when Motor is imported. It waits for each answer in a thread, five for each core if not told: on two cores ten
# slow searches would keep everything else waiting. As many as the driver has connections.
os.environ.setdefault("MOTOR_MAX_WORKERS", "100")
from motor.motor_asyncio import (
    AsyncIOMotorClient,
    AsyncIOMotorCollection,
    AsyncIOMotorDatabase,
)

Document: TypeAlias = dict[str, Any]
Collection: TypeAlias = AsyncIOMotorCollection[Document]
Database: TypeAlias = AsyncIOMotorDatabase[Document]
Client: TypeAlias = AsyncIOMotorClient[Document]

WRITE_MILLISECONDS: Final = 5_000
"""A write that a majority has not confirmed by then is of unknown outcome."""
CONNECT_MILLISECONDS: Final = 5_000
SELECT_MILLISECONDS: Final = 5_000
"""So long a command waits for a primary."""
GRACE_SECONDS: Final = 2.0
"""The server stops a query itself; so much later nobody waits for it any more."""

WRITES: Final = WriteConcern(w="majority", j=True, wtimeout=WRITE_MILLISECONDS)
READS: Final = ReadConcern("majority")

DUPLICATE: Final = 11000
_COSTLY: Final = frozenset({292, 16819, 16820, 16945, 51091})
"""Sorts and groups past the server's memory, and patterns that are too long."""
_PASSING: Final = frozenset(
    {6, 7, 24, 46, 50, 63, 64, 89, 90, 91, 107, 112, 117, 133, 134, 150, 175, 189, 202, 249, 262, 279, 355, 365, 402}
    | {9001, 10058, 10107, 11600, 11601, 11602, 13388, 13435, 13436, 14031}
)
"""What a shard, a member that is losing its place or one under pressure may answer: it says nothing of the data."""
_REFUSED: Final = {
    13: "the user may not do this",
    18: "the user or the password is wrong",
    64: "a majority of its members has not confirmed the write in time",
}


def connect(uri: str, seconds: float, listeners: tuple[Any, ...] = ()) -> Client:
    """Return a client for the running event loop; nothing is connected yet. Raises ``PyMongoError`` for a wrong URI.

    No command takes longer than a query of ``seconds`` and a while. Writes are never repeated by the driver: the
    committer does that, with the same document.
    """
    try:
        with catch_warnings():
            simplefilter("error", UserWarning)  # the driver only warns of options that it then leaves out
            return AsyncIOMotorClient(
                uri,
                io_loop=asyncio.get_running_loop(),
                appname="fhir-server",
                retryWrites=False,
                connectTimeoutMS=CONNECT_MILLISECONDS,
                serverSelectionTimeoutMS=SELECT_MILLISECONDS,
                socketTimeoutMS=int(max(seconds * 1000, WRITE_MILLISECONDS)) + CONNECT_MILLISECONDS,
                event_listeners=list(listeners),
            )
    except UserWarning as warning:
        raise ConfigurationError("an option of the URI") from warning


def database(client: Client) -> Database:
    """Return the database that the URI names, with the concerns of every command."""
    return client.get_default_database(read_concern=READS, write_concern=WRITES, read_preference=ReadPreference.PRIMARY)


def passes(code: int | None) -> bool:
    """Tell whether a write that failed so may have happened, or may succeed a little later as it is."""
    return code in _PASSING


def unavailable(error: BaseException) -> StoreUnavailable:
    """Say what MongoDB, or the way to it, does not do. Texts of the driver name hosts, never a user."""
    if isinstance(error, OperationFailure):
        reason = _REFUSED.get(error.code or 0) or f"{_name(error.details)} ({error.code})"
        return StoreUnavailable(f"MongoDB refuses: {reason}")
    return StoreUnavailable(f"MongoDB does not answer: {type(error).__name__}")


def _name(details: Mapping[str, Any] | None) -> str:
    return str((details or {}).get("codeName") or "an error")


@contextmanager
def told() -> Iterator[None]:
    """Raise what fails inside in the store's own words."""
    try:
        yield
    except InvalidDocument:
        raise
    except ExecutionTimeout as error:
        raise QueryTimeout("the query was stopped by MongoDB after its time") from error
    except OperationFailure as error:
        raise query_error(error) from error
    except PyMongoError as error:
        raise unavailable(error) from error


def query_error(error: OperationFailure) -> StoreError:
    if error.code in _COSTLY:
        return QueryTooCostly("the query needs more memory than MongoDB gives it; search more narrowly")
    return unavailable(error)
