"""What is looked at before a store opens: is this MongoDB, is the database ours, which log does it hold?"""

from __future__ import annotations

from contextlib import suppress
from secrets import token_hex
from typing import Final

from pymongo.errors import DuplicateKeyError

from fhir_server.storage.mongo.connection import Client, Database, Document
from fhir_server.storage.protocol import SchemaTooNew, StoreUnavailable

META: Final = "meta"
LAYOUT: Final = 1
"""Of the collections and their documents; ``protocol.SCHEMA`` is that of what they say."""
_LOG: Final[Document] = {"_id": "log"}


async def is_linearizable(client: Client) -> bool:
    """Tell whether reads can be linearizable: a standalone server knows no such concern, and needs none."""
    answer = await client.admin.command("ismaster")
    return bool(answer.get("setName")) or answer.get("msg") == "isdbgrid"


async def log_identity(database: Database) -> str:
    """Return the identity of the database's log, new if there is none.

    Raises ``StoreUnavailable`` and ``SchemaTooNew``.
    """
    meta = database[META]
    document = await meta.find_one(_LOG)
    if document is None:
        names = await database.list_collection_names()
        if any(name != META and not name.startswith(("log_", "system.")) for name in names):
            raise StoreUnavailable(f"the database {database.name} is another program's; give one of its own")
        with suppress(DuplicateKeyError):  # another process was first
            await meta.insert_one({**_LOG, "identity": token_hex(8), "layout": LAYOUT})
        document = await meta.find_one(_LOG)
    if document is None:
        raise StoreUnavailable(f"the database {database.name} does not keep what is written to it")
    if document["layout"] > LAYOUT:
        raise SchemaTooNew(f"the store has layout {document['layout']}; this program knows layouts up to {LAYOUT}")
    return str(document["identity"])


async def become(database: Database, former: str, identity: str) -> None:
    """Let the database hold another log from now on."""
    await database[META].update_one({**_LOG, "identity": former}, {"$set": {"identity": identity}})
