"""What is looked at before a store opens: is this MongoDB, is the database ours, which log does it hold?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import Any, Final

from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)
from pymongo.topology_description import TOPOLOGY_TYPE

from fhir_server.storage.mongo.connection import Client, Database, Document, connect, database
from fhir_server.storage.protocol import SchemaTooNew, StoreUnavailable

META: Final = "meta"
LAYOUT: Final = 1
"""Of the collections and their documents; ``protocol.SCHEMA`` is that of what they say."""
OLDEST: Final = "MongoDB 4.4"
_UNAUTHENTICATED: Final = frozenset({11, 18})
_UNAUTHORIZED: Final = frozenset({13})
_LOG: Final[Document] = {"_id": "log"}


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Raise ``StoreUnavailable`` that says what to do where a store cannot be opened. No text quotes the URI."""
    try:
        yield
    except InvalidURI as error:
        raise StoreUnavailable(
            "the URI of MongoDB cannot be read: every / : @ in its password is written as %XX"
        ) from error
    except (ConfigurationError, OperationFailure, ServerSelectionTimeoutError, ConnectionFailure) as error:
        raise StoreUnavailable(f"MongoDB at {_hosts(uri)} {_advice(error)}") from error
    except StoreUnavailable as error:
        if not isinstance(error.__cause__, PyMongoError):
            raise
        raise StoreUnavailable(f"MongoDB at {_hosts(uri)} {_advice(error.__cause__)}") from error
    except (ValueError, OSError) as error:  # a port, or a file of TLS's
        raise StoreUnavailable(f"MongoDB at {_hosts(uri)} {_misconfiguration(str(error))}") from error


def _hosts(uri: str) -> str:
    """Return the addresses of a URI, and nothing else of it."""
    return uri.partition("://")[2].partition("/")[0].rpartition("@")[2]


def _advice(error: PyMongoError) -> str:
    if isinstance(error, OperationFailure):
        return _refusal(error)
    if isinstance(error, ConfigurationError):
        return _misconfiguration(str(error))
    if "SSL" in str(error) or "certificate" in str(error):
        return "cannot be reached by TLS: look at tls and tlsCAFile in the URI, and at its certificate and host name"
    return "does not answer, or has no primary: see that it runs, and that this machine may reach it"


def _refusal(error: OperationFailure) -> str:
    if error.code in _UNAUTHENTICATED:
        return "does not know this user with this password: look at both, and at authSource in the URI"
    if isinstance(error, WriteConcernError):
        return "has not confirmed a write by a majority: see that most of its members with data run"
    if error.code in _UNAUTHORIZED:
        return "does not let this user work: grant it the role readWrite on the database of the store"
    return f"refuses to work: {(error.details or {}).get('codeName') or 'an error'} ({error.code})"


def _misconfiguration(told: str) -> str:
    if "wire version" in told:
        return f"is too old: {OLDEST} or newer is needed"
    if "not readable" in told:
        return "cannot be used as the URI says: a file that it names for TLS cannot be read"
    if "DNS" in told:
        return "has no address in the DNS, where mongodb+srv:// looks for one: see that the name is right"
    return "cannot be used as the URI says: its options must be right, and it must name a database, as in mongodb://HOST/NAME"


async def is_linearizable(client: Client) -> bool:
    """Tell whether reads can be linearizable: a standalone server knows no such concern, and needs none.

    Raises ``StoreUnavailable`` for a direct connection to one member of a replica set: the driver would go on reading
    from it when it is no longer the primary.
    """
    answer = await client.admin.command("ismaster")
    topology: Any = client.topology_description  # which the driver's types take for a function
    if answer.get("setName") and topology.topology_type == TOPOLOGY_TYPE.Single:
        raise StoreUnavailable(
            "this MongoDB is a member of a replica set, and may cease to be the primary:"
            " leave directConnection=true out of the URI"
        )
    return bool(answer.get("setName")) or answer.get("msg") == "isdbgrid"


async def holds_log(uri: str) -> bool:
    """Tell whether the database of a URI holds a log. Raises ``StoreUnavailable``."""
    with explained(uri):
        client = connect(uri, 0)
        try:
            return await database(client)[META].find_one(_LOG) is not None
        finally:
            client.close()


async def log_identity(base: Database) -> str:
    """Return the identity of the database's log, new if there is none.

    Raises ``StoreUnavailable`` and ``SchemaTooNew``.
    """
    meta = base[META]
    document = await meta.find_one(_LOG)
    if document is None:
        names = await base.list_collection_names()
        if any(name != META and not name.startswith(("log_", "system.")) for name in names):
            raise StoreUnavailable(f"the database {base.name} is another program's; give one of its own")
        document = {**_LOG, "identity": token_hex(8), "layout": LAYOUT}
        try:
            await meta.insert_one(document)
        except DuplicateKeyError:  # another process was first
            document = await meta.find_one(_LOG)
    if document is None:
        raise StoreUnavailable(f"the database {base.name} does not keep what is written to it")
    if document["layout"] > LAYOUT:
        raise SchemaTooNew(f"the store has layout {document['layout']}; this program knows layouts up to {LAYOUT}")
    return str(document["identity"])


async def become(base: Database, former: str, identity: str) -> None:
    """Let the database hold another log from now on."""
    await base[META].update_one({**_LOG, "identity": former}, {"$set": {"identity": identity}})
