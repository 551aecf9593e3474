"""What an answer of the platform, or none, means; nothing that was sent is repeated."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from fhir_server.france.sas.push.platform import Fate, Outcome, Platform, Tls
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.model.formats import serialize
from tests.france.sas.telling import EDITOR, Json, told

HERE = "https://sas.example.org/rdv"
BODY = serialize(told(value="a|b"))


async def done(answer: Callable[[httpx.Request], httpx.Response], method: str = "PUT") -> Outcome:
    platform = Platform(HERE + "/", Tls(), httpx.MockTransport(answer))
    try:
        return await (platform.update(BODY) if method == "PUT" else platform.create(BODY))
    finally:
        await platform.close()


async def test_requests_are_those_of_the_guide() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201)

    assert await done(answer, "POST") == await done(answer) == Outcome(Fate.DONE)
    post, put = seen
    assert (post.method, str(post.url)) == ("POST", f"{HERE}/Appointment")
    assert (put.method, put.url.path) == ("PUT", "/rdv/Appointment")
    assert dict(put.url.params) == {"identifier": f"{EDITOR}|a\\|b"}
    assert b"%7C" in put.url.query
    assert all(one.content == BODY and one.headers["content-type"] == "application/fhir+json" for one in seen)


def outcome(*issues: Json) -> Json:
    return {"resourceType": "OperationOutcome", "issue": list(issues)}


ISSUE = {"code": "invalid", "diagnostics": "899700990015 is wrong", "expression": ["Appointment.identifier[0]"]}
ANSWERS = [
    (httpx.Response(200), Outcome(Fate.DONE)),
    (httpx.Response(204), Outcome(Fate.DONE)),
    (httpx.Response(409), Outcome(Fate.REFUSED, "409")),
    (
        httpx.Response(422, json=outcome(ISSUE)),
        Outcome(Fate.REFUSED, "422 (invalid at Appointment.identifier[0])"),
    ),
    (httpx.Response(422, json=outcome({"code": "x y", "expression": ["A B"]})), Outcome(Fate.REFUSED, "422 (… at …)")),
    (httpx.Response(400, json=[1]), Outcome(Fate.REFUSED, "400")),
    (httpx.Response(400, content=b"<html>"), Outcome(Fate.REFUSED, "400")),
    (httpx.Response(400, content=b" " * 100_000), Outcome(Fate.REFUSED, "400")),
    (httpx.Response(302, headers={"Location": "/"}), Outcome(Fate.REFUSED, "302, and redirects are not followed")),
    (httpx.Response(500), Outcome(Fate.LATER, "500")),
    (httpx.Response(503, headers={"Retry-After": "7"}), Outcome(Fate.LATER, "503", 7.0, True)),
    (httpx.Response(429, headers={"Retry-After": "soon"}), Outcome(Fate.LATER, "429", 0.0, True)),
    (
        httpx.Response(429, headers={"Retry-After": "Mon, 05 Jan 2026 08:00:00 GMT"}),
        Outcome(Fate.LATER, "429", 0.0, True),
    ),
    (httpx.Response(408), Outcome(Fate.LATER, "408")),
]


@pytest.mark.parametrize(("answer", "expected"), ANSWERS)
async def test_answer_means(answer: httpx.Response, expected: Outcome) -> None:
    assert await done(lambda _: answer) == expected


async def test_create_of_what_is_there_is_told_apart() -> None:
    assert (await done(lambda _: httpx.Response(409), "POST")).fate is Fate.EXISTS


async def test_no_answer_means_that_nobody_knows() -> None:
    def lost(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("cut")

    assert await done(lost) == Outcome(Fate.LATER, "no answer (ReadError)", is_about_all=True)


def test_files_of_tls_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("x")
    for tls in (Tls(authorities=tmp_path / "none.pem"), Tls(certificate=tmp_path / "bad.pem")):
        with pytest.raises(CommandFailed, match="cannot be used"):
            tls.context()
    assert Tls().context().verify_mode is ssl.CERT_REQUIRED
