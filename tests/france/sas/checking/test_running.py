"""The whole check against small servers: one that keeps all rules, and others that break one each."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server import app
from fhir_server.france.sas import checking
from fhir_server.france.sas.checking.caller import Caller
from fhir_server.france.sas.checking.report import Report, State
from fhir_server.france.sas.checking.rules import Language, rules
from fhir_server.france.sas.checking.verdict import Verdict
from fhir_server.france.sas.push import Tls
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.settings import SettingsError
from tests.france.sas.checking.editor import Editor
from tests.france.sas.checking.pages import BASE, NOW, NUMBER, SIRET
from tests.france.sas.checking.test_pages import validate

Handler = Callable[[httpx.Request], httpx.Response]


async def checked(editor: Handler, *, write: bool = True, numbers: tuple[str, ...] = (NUMBER,)) -> Report:
    wish = checking.Wish(BASE, numbers, (SIRET,), is_writing=write)
    report = Report(BASE, NOW, wish.version)
    await checking.play(wish, report, validate=validate, transport=httpx.MockTransport(editor))
    return report


def in_state(report: Report, *states: State) -> set[str]:
    return {result.rule.id for result in report.results if result.state in states}


def unkept(report: Report) -> set[str]:
    return in_state(report, State.FAILED, State.WARNED) - {"https"}


async def test_good_server_keeps_every_rule() -> None:
    editor = Editor()
    report = await checked(editor)
    assert unkept(report) == set()
    assert not report.has_failed
    assert in_state(report, State.UNSEEN) == {"client-certificate"}
    assert report.left_out == []
    assert [made.is_active for made in report.remaining] == [False] * 3
    assert not any(account["active"] for account in editor.accounts.values())
    assert len(report.remaining) == len(editor.accounts)


async def test_nothing_is_written_unless_asked_for() -> None:
    editor = Editor()
    report = await checked(editor, write=False)
    assert {method for method, _ in editor.requests} == {"GET"}
    assert report.left_out == [("INT_R02", "write")]
    assert not report.has_failed


FLAWS = [
    *("bare-bar", "bare-plus", "no-offset", "zero-offset", "count", "twenty-five", "accept", "empty-answer"),
    *("inverted-window", "bad-request", "read", "only-the-sas", "metadata"),
    *("account-location", "account-duplicate", "account-identifier", "account-name", "account-telecom"),
    *("account-active", "account-family", "account-mail", "account-mail-system", "account-type", "account-update"),
    *("account-update-location", "account-media", "account-body-id", "account-format", "account-capital"),
    *("account-renumber", "account-disable", "account-reattribute", "account-active-first", "account-update-creates"),
]


@pytest.mark.parametrize("flaw", FLAWS)
async def test_flaw_is_told_and_nothing_else(flaw: str) -> None:
    report = await checked(Editor(flaw))
    assert unkept(report) == {flaw}
    assert report.has_failed == (rules()[flaw].level == "error")


async def test_server_without_accounts_is_told_at_once() -> None:
    editor = Editor("account-create")
    report = await checked(editor)
    assert unkept(report) == {"account-create"}
    assert [method for method, _ in editor.requests].count("POST") == 1


async def test_what_could_not_be_disabled_is_listed() -> None:
    report = await checked(Editor("account-disable", "account-identifier"))
    assert unkept(report) == {"account-disable", "account-identifier"}
    assert [made.name for made in report.remaining if made.is_active]
    lines = list(checking.leftovers(report, "en"))
    assert any("STILL ACTIVE" in line for line in lines)


async def test_interrupted_check_disables_what_it_made() -> None:
    editor, stuck = Editor(), asyncio.Event()

    async def slow(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT" and json.loads(request.content)["active"]:
            stuck.set()
            await asyncio.Event().wait()
        return editor(request)

    wish = checking.Wish(BASE, (NUMBER,), is_writing=True)
    report = Report(BASE, NOW, wish.version)
    transport = httpx.MockTransport(slow)
    task = asyncio.create_task(checking.play(wish, report, validate=validate, transport=transport))
    await stuck.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [account["active"] for account in editor.accounts.values()] == [False]
    assert [made.is_active for made in report.remaining] == [False]


async def test_professionals_and_structures_are_found_where_none_is_named() -> None:
    editor, wish = Editor(), checking.Wish(BASE)
    report = Report(BASE, NOW, wish.version)
    await checking.play(wish, report, validate=validate, transport=httpx.MockTransport(editor))
    assert any(f"%7C{SIRET}&" in query for _, query in editor.requests)
    assert not report.has_failed
    assert report.left_out == [("INT_R02", "write")]


async def test_who_cannot_be_found_is_asked_for_and_nothing_is_no_success() -> None:
    wish = checking.Wish(BASE)
    report = Report(BASE, NOW, wish.version)
    transport = httpx.MockTransport(Editor("count"))
    await checking.play(wish, report, validate=validate, transport=transport)
    assert report.left_out == [("INT_R01, INT_R04", "rpps"), ("SOS", "siret"), ("INT_R02", "write")]
    assert report.has_failed
    assert "Nothing could be played" in checking.told(report, "en", 100)


def html(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, html="<p>Bonjour</p>")


def moved(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(301, headers={"Location": "https://elsewhere.example.org/"})


def silent(_request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("")


def endless(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, headers={"Content-Type": "application/fhir+json"}, content=b" " * 2000)


async def told(handler: Handler, language: Language = "en", **wish: Any) -> tuple[bool, str]:
    given: dict[str, Any] = {
        "base": BASE.replace("https", "http"),
        "rpps": (NUMBER,),
        "sirets": (),
        "guide": "1.2.0",
        "write": False,
        "tls": {},
        "width": 80,
        **wish,
    }
    return await app.check_sas(
        **given,
        language=language,
        tell=pytest.fail,
        transport=httpx.MockTransport(handler),
    )


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (html, "is no FHIR server"),
        (moved, "redirects (301)"),
        (silent, "no answer in 30 s"),
        (endless, "more than 0 MB"),
    ],
)
async def test_what_cannot_be_checked_is_told_in_a_sentence(
    handler: Handler, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_server.france.sas.checking.caller.BYTES", 1000)
    with pytest.raises(CommandFailed, match=words.replace("(", r"\(").replace(")", r"\)")):
        await told(handler)
    with pytest.raises(CommandFailed, match=r"\.$"):
        await told(handler, "fr")


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"base": "ftp://x"}, "--base"),
        ({"base": "https://u:p@example.org/sas"}, "--base"),
        ({"base": "https://example.org:99999/"}, "--base"),
        ({"rpps": ("12",)}, "--rpps"),
        ({"sirets": ("12",)}, "--siret"),
        ({"rpps": (NUMBER,) * 26}, "at most"),
        ({"guide": "9"}, "--guide"),
        ({"base": BASE, "tls": {"authorities": Path("/nowhere.pem")}}, "cannot be used"),
    ],
)
async def test_wrong_use_is_told(wish: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        await told(Editor(), **wish)


async def test_numbers_come_with_and_without_prefix() -> None:
    def wish(rpps: str, siret: str) -> checking.Wish:
        return checking.Wish.read("http://x/", (rpps,), (siret,), "1.2.0", Tls(), write=False)

    assert wish(NUMBER[1:], SIRET[1:]).numbers == wish(NUMBER, SIRET).numbers == (NUMBER,)
    assert wish(NUMBER[1:], SIRET[1:]).structures == wish(NUMBER, SIRET).structures == (SIRET,)


async def test_over_tls_a_client_without_certificate_must_be_refused() -> None:
    context = ssl.create_default_context()
    wish = checking.Wish(BASE, (NUMBER,), tls=context, anonymous=context)
    report = Report(BASE, NOW, wish.version)
    await checking.play(wish, report, validate=validate, transport=httpx.MockTransport(Editor()))
    assert unkept(report) == {"client-certificate"}
    assert "https" in in_state(report, State.PASSED)


async def test_reports_say_the_same_in_both_languages_and_in_json() -> None:
    report = await checked(Editor("bare-bar", "account-disable"))
    french, english = (json.loads(checking.told(report, language, None)) for language in ("fr", "en"))
    assert french["counts"] == english["counts"]
    assert [one["id"] for one in french["rules"]] == list(rules())
    (row,) = [one for one in french["rules"] if one["id"] == "bare-bar"]
    assert (row["state"], row["level"]) == ("failed", "error")
    assert row["remedy"].startswith("Accepter")
    assert row["source"]
    assert {finding["played"] for finding in row["findings"]} == {"INT_R01 bare-bar", "SOS bare-bar"}
    assert not french["passed"]
    for language, word in (("fr", "ÉCHEC"), ("en", "FAILED")):
        table = checking.told(report, language, 80)  # type: ignore[arg-type]
        assert f"\n{word} " in table
        assert max(map(len, table.splitlines())) <= 90
    assert NUMBER not in json.dumps(french)


async def test_control_characters_of_others_reach_no_terminal() -> None:
    report = Report(BASE, NOW, checking.Wish(BASE).version)
    report.add("INT_R01", [Verdict("slot-free", False, "Slot/\x1b[31m1", "\x07" * 500)])
    table = checking.told(report, "en", 80)
    assert not any(ord(one) < 32 and one != "\n" for one in table)


async def test_request_goes_out_as_it_is_written() -> None:
    editor = Editor()
    async with Caller(BASE, None, httpx.MockTransport(editor)) as caller:
        await caller.get("Slot?a=b|c&d=e+f%7Cg")
    assert editor.requests == [("GET", "Slot?a=b|c&d=e+f%7Cg")]
