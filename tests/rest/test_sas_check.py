"""Our own server passes its own check of the SAS: the demonstration, SOS Médecins included, accounts written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest
from starlette.types import Message

from fhir_server.france.demo.agenda import agenda_bundles
from fhir_server.france.demo.facts import every_cpts
from fhir_server.france.demo.roster import roster_bundles
from fhir_server.france.sas import checking
from fhir_server.france.sas.base import Version
from fhir_server.france.sas.checking.report import Report, State
from fhir_server.france.vocabulary import PARIS
from fhir_server.interactions.exchange import Request
from tests.rest.conftest import START, Server

BASE = "http://127.0.0.1:8080/sas"
AT = datetime.fromtimestamp(START / 1_000_000, UTC) - timedelta(hours=1)


class Wire(httpx.AsyncBaseTransport):
    """Calls an application with the request line as it was written: ``httpx.ASGITransport`` would encode a bar."""

    def __init__(self, server: Server) -> None:
        self._app = server.app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path, _, query = request.extensions["target"].partition(b"?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": unquote(path.decode()),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": ("127.0.0.1", 8080),
            "client": ("127.0.0.1", 40000),
        }
        body, sent = await request.aread(), list[Message]()

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in sent)
        return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=content)


async def checked(server: Server, wish: checking.Wish) -> Report:
    report = Report(wish.base, AT, wish.version)
    validate = server.service.context.validator.validate
    await checking.play(wish, report, validate=validate, transport=Wire(server))
    return report


async def test_demonstration_keeps_every_rule_under_both_versions_of_the_guide(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_server.france.sas.checking.caller.perf_counter", lambda: 0.0)  # however busy we are
    paths = ("/sas", "/sas/old;guide=1.1.0")
    async with Server(f"sqlite:{folder / 'store.db'}", sas_paths=paths) as server:
        # One day of its seven: what a day more would show is more of the same.
        for one in (*roster_bundles(), *agenda_bundles([AT.date()], PARIS)):
            await server.service.perform(Request("POST", "", resource=one))
        report = await checked(server, checking.Wish(BASE, is_writing=True))
        states = {result.rule.id: result.state for result in report.results}
        assert [one for one, state in states.items() if state is State.UNSEEN] == ["client-certificate"]
        assert [result for result in report.results if result.findings and result.rule.id != "https"] == []
        assert not report.has_failed
        assert report.left_out == []
        assert [made.is_active for made in report.remaining] == [False] * 3
        somebody = next(member.national_id for member in every_cpts()[0].members if member.places)
        old = await checked(server, checking.Wish(f"{BASE}/old", (somebody,), version=Version.V1_1))
        assert [result.rule.id for result in old.results if result.findings] == ["https"]
