"""The collections of one log, and what is known of its end.

Their names carry the log's identity, so that a writer of a former log can never append to this one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import bson
from pymongo import ASCENDING, ReturnDocument
from pymongo.errors import DocumentTooLarge, DuplicateKeyError, ExecutionTimeout, OperationFailure
from pymongo.read_concern import ReadConcern

from fhir_server.storage.mongo.connection import READS, WRITE_MILLISECONDS, Collection, Database, Document, told
from fhir_server.storage.mongo.documents import commit_of
from fhir_server.storage.mongo.indexes import COMMITS, RESOURCES, VERSIONS, create
from fhir_server.storage.protocol import ENDED, SCHEMA, Commit, CommitTooLarge, Head, StoreUnavailable

DOCUMENT_BYTES: Final = 16_000_000
"""The largest document, a little under MongoDB's own bound."""
HEAD: Final[Document] = {"_id": "head"}
FEED_COMMITS: Final = 100
"""Commits of the feed in one question: a slow reader holds no cursor for long."""
_TOO_LARGE: Final = frozenset({2, 10334})
"""What MongoDB says of a document a little over its bound, which the driver still sends."""
_NUMBERS: Final = ("number", "instant", "generation", "schema")


class State(NamedTuple):
    """The document ``head``: the last commit known applied, and who waits to append the next (``turns``)."""

    head: Head
    queue: tuple[str, ...]
    beat: int


class Log:
    """``linearizable``: whether the server knows that read concern; a standalone server needs none."""

    def __init__(self, database: Database, identity: str, *, linearizable: bool) -> None:
        self.identity = identity
        self.database = database
        self._prefix = f"log_{identity}"
        self._resources: dict[str, Collection] = {}
        self._indexed: set[str] = set()
        self.commits: Collection = database[f"{self._prefix}.commits"]
        self.versions: Collection = database[f"{self._prefix}.versions"]
        self.states: Collection = database[f"{self._prefix}.state"]
        self._certain = self.commits.with_options(read_concern=ReadConcern("linearizable") if linearizable else READS)

    async def create(self) -> None:
        """Make what a log needs before its first commit; all of it may be there already."""
        prefix = f"{self._prefix}.resources."
        with told():
            names = await self.database.list_collection_names()
        await create(self.commits, COMMITS)
        await create(self.versions, VERSIONS)
        first = {"number": 0, "instant": 0, "generation": 0, "schema": SCHEMA, "queue": [], "beat": 0}
        with told():
            await self.states.update_one(HEAD, {"$setOnInsert": first}, upsert=True)
        for name in names:
            if name.startswith(prefix):
                await self.prepare(name.removeprefix(prefix))

    def resources(self, type: str) -> Collection:
        """Return the collection of a type."""
        found = self._resources.get(type)
        if found is None:
            found = self._resources[type] = self.database[f"{self._prefix}.resources.{type}"]
        return found

    async def prepare(self, type: str) -> None:
        """Create the indexes of a type before its first resource is written."""
        if type not in self._indexed:
            await create(self.resources(type), RESOURCES)
            self._indexed.add(type)

    # --- its end -----------------------------------------------------------------------------------------------------

    async def state(self) -> State:
        with told():
            document = await self.states.find_one(HEAD)
        return self.state_of(document)

    def state_of(self, document: Document | None) -> State:
        if document is None:
            raise StoreUnavailable("the log has been removed from the database")
        head = Head(self.identity, *(document[name] for name in _NUMBERS))
        return State(head, tuple(document["queue"]), document["beat"])

    async def mark(self, head: Head) -> State | None:
        """Note that a commit is applied; return what others have noted, or None if they have noted it before."""
        values = dict(zip(_NUMBERS, head_values(head), strict=True))
        with told():
            document = await self.states.find_one_and_update(
                {**HEAD, "number": {"$lt": head.number}},
                {"$set": values, "$inc": {"beat": 1}},
                return_document=ReturnDocument.AFTER,
            )
        return None if document is None else self.state_of(document)

    async def mark_end(self) -> None:
        """Note that the log has ended."""
        with told():
            await self.states.update_one(HEAD, {"$set": {"schema": ENDED}})

    async def is_free(self, number: int) -> bool:
        """Tell for certain whether no commit has this number."""
        return await self._surely(number, "_id") is None

    async def token(self, number: int) -> str | None:
        """Tell for certain whose commit has this number."""
        document = await self._surely(number, "token")
        return None if document is None else str(document["token"])

    async def _surely(self, number: int, field: str) -> Document | None:
        """Ask a primary that is certain to be one; one that has lost the others never answers."""
        with told():
            try:
                return await self._certain.find_one({"_id": number}, {field: 1}, max_time_ms=WRITE_MILLISECONDS)
            except ExecutionTimeout as error:
                raise StoreUnavailable("MongoDB took too long to confirm what the log holds") from error

    async def insert(self, document: Document) -> bool:
        """Append a commit; return False if its number is taken. Raises ``CommitTooLarge``; other errors leave the
        outcome unknown."""
        try:
            await self.commits.insert_one(document)
        except DuplicateKeyError:
            return False
        except (DocumentTooLarge, OperationFailure) as error:  # the driver's, before it sends anything, or MongoDB's
            if isinstance(error, OperationFailure) and error.code not in _TOO_LARGE:
                raise
            raise CommitTooLarge(len(bson.encode(document)), DOCUMENT_BYTES) from error
        return True

    async def find(self, number: int) -> Document | None:
        with told():
            return await self.commits.find_one({"_id": number})

    async def last(self) -> Document | None:
        """Return the last commit's document without its changes."""
        with told():
            return await self.commits.find_one({}, {"changes": 0, "bodies": 0}, sort=[("_id", -1)])

    # --- the feed ----------------------------------------------------------------------------------------------------

    async def between(self, after: int, until: int) -> AsyncIterator[Commit]:
        """Yield the commits after one number, up to another."""
        while after < until:
            last = min(after + FEED_COMMITS, until)
            cursor = self.commits.find({"_id": {"$gt": after, "$lte": last}}, {"changes.entries": 0})
            cursor = cursor.sort("_id", ASCENDING)
            with told():
                async for document in cursor:
                    yield commit_of(document)
            after = last


def head_values(head: Head) -> tuple[Any, ...]:
    return head.number, head.instant, head.generation, head.schema
