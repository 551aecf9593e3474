"""The server that the tests of the MongoDB engine talk to."""

from __future__ import annotations

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from tests.mongo_server import server


async def test_a_server_answers(mongo_uri: str) -> None:
    client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(mongo_uri, serverSelectionTimeoutMS=5_000)
    try:
        assert (await client.admin.command("ping"))["ok"] == 1
    finally:
        client.close()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(server.URI, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    assert "java, javac, mvn" in (server.missing() or "")
    monkeypatch.setenv(server.URI, "mongodb://localhost")
    assert server.missing() is None
