"""A store that cannot be opened says in one sentence what to do, and never who the user is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest
from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError, ServerSelectionTimeoutError

from fhir_server.storage.mongo import connection
from fhir_server.storage.mongo.opening import explained
from fhir_server.storage.protocol import StoreUnavailable
from tests.storage.mongo.answering import HELLO, Documents, answering
from tests.storage.mongo.conftest import OpenMongo

URI = "mongodb://reader:se%3Fcret@db1.example.org:27017,db2.example.org/cpts?authSource=admin"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ServerSelectionTimeoutError("x"), "does not answer, or has no primary"),
        (OperationFailure("Authentication failed.", 18), "does not know this user with this password"),
        (OperationFailure("not authorized", 13), "grant it the role readWrite"),
        (OperationFailure("x", 4711, {"codeName": "Odd"}), "refuses to work: Odd (4711)"),
        (ConfigurationError("Server at x reports wire version 8, but ..."), "is too old: MongoDB 4.4 or newer"),
        (ConfigurationError("no default database"), "it must name a database"),
        (ConfigurationError("The DNS query name does not exist: _mongodb._tcp.x."), "has no address in the DNS"),
        (ServerSelectionTimeoutError("x:27017: [SSL: CERTIFICATE_VERIFY_FAILED] secret"), "cannot be reached by TLS"),
        (InvalidURI("Username and password must be escaped"), "written as %XX"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_each_obstacle_has_its_sentence(error: PyMongoError, sentence: str) -> None:
    with (
        pytest.raises(StoreUnavailable, match=sentence.replace("(", r"\(").replace(")", r"\)")) as told,
        explained(URI),
    ):
        raise error
    assert "secret" not in str(told.value)
    assert "reader" not in str(told.value)
    if not isinstance(error, InvalidURI):
        assert "db1.example.org:27017,db2.example.org " in str(told.value)


async def test_a_server_that_is_not_there_is_told_soon(make_mongo: OpenMongo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SELECT_MILLISECONDS", 200)
    store = make_mongo(at="mongodb://reader:secret@127.0.0.1:9/cpts")
    with pytest.raises(StoreUnavailable, match=re.escape("MongoDB at 127.0.0.1:9 does not answer")):
        await store.open()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.healthy()


async def test_a_uri_without_a_database_is_refused(make_mongo: OpenMongo, mongo_uri: str) -> None:
    with pytest.raises(StoreUnavailable, match="it must name a database"):
        await make_mongo(at=mongo_uri).open()


UNCONFIRMED = {"ok": 1, "n": 1, "writeConcernError": {"code": 64, "errmsg": "x", "errInfo": {"wtimeout": True}}}
SECONDARY = {
    "ismaster": False,
    "isWritablePrimary": False,
    "secondary": True,
    "setName": "rs0",
    "hosts": ["127.0.0.1:9"],
}


def found(*documents: dict[str, Any]) -> dict[str, Any]:
    """The answer to a query."""
    return {"ok": 1, "cursor": {"id": 0, "ns": "cpts.meta", "firstBatch": list(documents)}}


@pytest.mark.parametrize(
    ("documents", "sentence"),
    [
        ({"hello": {**HELLO, "maxWireVersion": 8}}, "is too old: MongoDB 4.4 or newer is needed"),
        ({"hello": {**HELLO, **SECONDARY}}, "does not answer, or has no primary"),
        ({"saslStart": {"ok": 0, "code": 18, "errmsg": "reader"}}, "does not know this user with this password"),
        (
            {"find": {"ok": 0, "code": 13, "errmsg": "reader"}},
            "does not let this user work: grant it the role readWrite",
        ),
        ({"find": {"ok": 0, "code": 4711, "codeName": "Odd", "errmsg": "reader"}}, "refuses to work: Odd (4711)"),
        (
            {
                "find": found({"_id": "log", "identity": "a", "layout": 1}),
                "listCollections": found(),
                "createIndexes": {"ok": 0, "code": 13, "errmsg": "reader"},
            },
            "does not let this user work: grant it the role readWrite",
        ),
        (
            {"find": found(), "listCollections": found(), "insert": UNCONFIRMED},
            "has not confirmed a write by a majority",
        ),
    ],
    ids=["old", "no primary", "unknown user", "no rights", "odd", "reader only", "no majority"],
)
async def test_what_a_server_says_is_told_in_a_sentence(
    documents: Documents, sentence: str, make_mongo: OpenMongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SELECT_MILLISECONDS", 300)
    async with answering(documents) as port:
        user = "reader:secret@" if "saslStart" in documents else ""
        store = make_mongo(at=f"mongodb://{user}127.0.0.1:{port}/cpts{'?authMechanism=PLAIN' if user else ''}")
        with pytest.raises(StoreUnavailable, match=re.escape(f"MongoDB at 127.0.0.1:{port} {sentence}")) as told:
            await store.open()
    assert "reader" not in str(told.value)
    assert "secret" not in str(told.value)


def test_slow_searches_leave_threads_to_others() -> None:
    """A thread waits for each answer: in a process of its own, since Motor counts them when it is imported."""
    code = "import fhir_server.storage.mongo, motor.frameworks.asyncio as motor; print(motor.max_workers)"
    environment = {name: value for name, value in os.environ.items() if name != "MOTOR_MAX_WORKERS"}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    assert int(told.stdout) == 100


async def test_an_option_that_says_nothing_is_refused(make_mongo: OpenMongo) -> None:
    for option in ("wTimeoutMS=soon", "tlsInsecur=true", "w=-1"):
        with pytest.raises(StoreUnavailable, match="its options must be right"):
            await make_mongo(at=f"mongodb://127.0.0.1:9/cpts?{option}").open()


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("mongodb://reader@127.0.0.1:secret/cpts", "its options must be right"),
        ("mongodb://127.0.0.1:9/cpts?tls=true&tlsCAFile=/none/secret.pem", "a file that it names for TLS"),
    ],
)
async def test_what_the_driver_cannot_read_is_told(uri: str, sentence: str, make_mongo: OpenMongo) -> None:
    with pytest.raises(StoreUnavailable, match=sentence):
        await make_mongo(at=uri).open()
