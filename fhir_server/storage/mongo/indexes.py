"""The indexes of each collection: few and compound, at most one array in each, ending in the order of creation.

The compounds of ``search.compounds`` are spans as any others: ``schedule+status+start`` is one range of one index.
"""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import NetworkTimeout

from fhir_server.storage.mongo.connection import Collection, Document, told
from fhir_server.storage.protocol import StoreUnavailable

LOG: Final = logging.getLogger(__name__)


class Index(NamedTuple):
    """``-field`` is descending. ``only``: the index holds only the documents of which this is true, and serves only the
    queries that say so of the same path."""

    fields: tuple[str, ...]
    unique: bool = False
    only: Document | None = None

    def model(self) -> IndexModel:
        options: Document = {"unique": True} if self.unique else {}
        if self.only is not None:
            options["partialFilterExpression"] = self.only
        return IndexModel(self.directions(), **options)

    def directions(self) -> list[tuple[str, int]]:
        """Return the fields in their order, each with its direction."""
        return [(field.removeprefix("-"), DESCENDING if field[0] == "-" else ASCENDING) for field in self.fields]


LIVE: Final[Document] = {"live": True}

COMMITS: Final = (Index(("instant", "_id")),)
VERSIONS: Final = (Index(("type", "id", "version"), unique=True), Index(("type", "_id")))
RESOURCES: Final = (
    Index(("ordinal",), only=LIVE),
    Index(("updated", "ordinal"), only=LIVE),
    Index(("-updated", "ordinal"), only=LIVE),
    Index(("generation", "ordinal"), only=LIVE),
    Index(("equal", "ordinal")),
    Index(("text", "ordinal")),
    Index(("span.of", "span.low", "span.high", "ordinal")),
    Index(("span.of", "span.high", "ordinal")),
    Index(("point.latitude", "point.of", "ordinal"), only={"point": {"$exists": True}}),
)
ARRAYS: Final = frozenset({"equal", "text", "span", "point"})
"""Fields of a resource that are arrays: an index may hold one of them."""


async def create(collection: Collection, indexes: tuple[Index, ...]) -> None:
    """Create what is missing; what is there already costs one command.

    On a collection that is large already it takes long: asked again, MongoDB answers when it has built them.
    """
    while True:
        try:
            with told():
                await collection.create_indexes([index.model() for index in indexes])
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, NetworkTimeout):
                raise
            LOG.warning("MongoDB is building indexes of %s, which is waited for", collection.name)
        else:
            return
