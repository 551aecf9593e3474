"""The way to the platform by TLS, over a real socket: who each side is, and what becomes of a wrong one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fhir_server.france.sas.push.platform import Fate, Outcome, Platform, Tls
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.model.formats import serialize
from tests.france.sas.telling import told
from tests.rest.authority import Authority

ANSWER = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Listening(NamedTuple):
    """A platform that wants certificates of its own authority; ``names`` are those of the clients that came in."""

    port: int
    authority: Authority
    names: list[str]

    async def told_by(self, tls: Tls) -> Outcome:
        """Return what becomes of an appointment that a client tells."""
        platform = Platform(f"https://127.0.0.1:{self.port}", tls)
        try:
            return await platform.create(serialize(told()))
        finally:
            await platform.close()


@pytest.fixture
async def listening(tmp_path: Path) -> AsyncIterator[Listening]:
    authority, names = Authority(tmp_path), list[str]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        shown = writer.get_extra_info("peercert")["subject"]
        names.extend(value for part in shown for name, value in part if name == "commonName")
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(authority.server().path)
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield Listening(server.sockets[0].getsockname()[1], authority, names)


async def test_both_sides_are_known(listening: Listening) -> None:
    ours = listening.authority.client("editeur.example.org", password=b"fictif")
    tls = Tls(ours.path, None, listening.authority.path, "fictif")
    assert await listening.told_by(tls) == Outcome(Fate.DONE)
    assert listening.names == ["editeur.example.org"]
    for password in (None, "wrong"):
        with pytest.raises(CommandFailed, match="cannot be used"):
            Tls(ours.path, None, listening.authority.path, password).context()


async def test_nothing_is_told_to_a_platform_that_is_not_known(listening: Listening) -> None:
    ours = listening.authority.client().path
    outcome = await listening.told_by(Tls(ours))
    assert (outcome.fate, outcome.is_about_all, listening.names) == (Fate.LATER, True, [])
    assert "CERTIFICATE_VERIFY_FAILED" in outcome.reason


async def test_without_a_certificate_nobody_comes_in(listening: Listening) -> None:
    outcome = await listening.told_by(Tls(authorities=listening.authority.path))
    assert (outcome.fate, outcome.is_about_all, listening.names) == (Fate.LATER, True, [])
