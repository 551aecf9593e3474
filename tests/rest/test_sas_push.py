"""INT_R03 from end to end: our bookings are told to a platform, which is this very server with its actor ``rdv``.

Whatever is killed, and wherever, there is one appointment there in the end, in its last state.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.app import push_options
from fhir_server.france.sas.push import PushOptions, Remains, push
from fhir_server.france.sas.push.journal import Journal
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.storage.protocol import Commit, StoreUnavailable
from tests.france.sas.telling import ACCOUNTS, DOCTOR, EDITOR, operator, told
from tests.rest.asking import Json, bundle, created, entry
from tests.rest.conftest import Server

ONE_ENGINE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""For what depends on no engine."""

SAS = "http://127.0.0.1:8080/sas"
DOCTORS = [{"system": "https://rpps.esante.gouv.fr", "value": DOCTOR[1:]}]
Send = Callable[[httpx.Request], Any]


class Platform(httpx.AsyncBaseTransport):
    """The way to a platform: what was asked, and how it fails. ``bad`` is asked for each request what becomes of it:
    an exception before it arrives, an answer instead, or None."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.inner = httpx.ASGITransport(server.app)
        self.asked: list[tuple[str, str, str]] = []
        self.bad: Callable[[Json], BaseException | httpx.Response | None] = lambda _: None
        self.lost: Callable[[Json], BaseException | None] = lambda _: None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(await request.aread())
        bad = self.bad(body)
        if isinstance(bad, BaseException):
            raise bad
        self.asked.append((request.method, body["identifier"][0]["value"], body["status"]))
        answer = bad or await self.inner.handle_async_request(request)
        if (lost := self.lost(body)) is not None:
            await answer.aclose()
            raise lost
        return answer

    async def states(self) -> dict[str, list[str]]:
        """Return what is there: statuses by identifier."""
        page = (await self.server.http.get("Appointment?_count=1000")).json()
        found: dict[str, list[str]] = {}
        for one in page.get("entry", ()):
            found.setdefault(one["resource"]["identifier"][0]["value"], []).append(one["resource"]["status"])
        return found

    async def forget(self) -> None:
        """Be new."""
        for value in await self.states():
            assert (await self.server.http.delete(f"Appointment?identifier={EDITOR}|{value}")).status_code == 204
        self.asked.clear()

    def order(self, value: str) -> list[str]:
        """Return the statuses that were asked of an identifier, each once in a row."""
        return [status for status, _ in itertools.groupby(one[2] for one in self.asked if one[1] == value)]


@pytest.fixture
async def platform(folder: Path) -> AsyncIterator[Platform]:
    async with Server(f"sqlite:{folder / 'platform.db'}", sas_rdv=True) as server:
        yield Platform(server)


class Editor:
    """Our own server, and its pushes."""

    def __init__(self, server: Server, platform: Platform, folder: Path) -> None:
        self.server, self.http, self.platform = server, server.http, platform
        self.journal = folder / "x.sas-journal"
        self.lines: list[str] = []
        self.slept: list[float] = []

    def options(self, **how: Any) -> PushOptions:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        how = {"guide": "1.2.0", "tls": {}, "transport": self.platform, "sleep": sleep, **how}
        return push_options(to=how.pop("to", SAS), journal=how.pop("journal", self.journal), now=self._now, **how)

    def _now(self) -> float:
        return sum(self.slept)

    async def push(self, **how: Any) -> Remains:
        return await push(self.server.service, self.options(**how), self.lines.append)

    async def book(self, value: str, **more: Any) -> str:
        taking = [{"actor": {"reference": "Practitioner/alice"}, "status": "accepted"}]
        id_: str = (await created(self.http, told(value=value, participant=taking, comment="Dupont", **more)))["id"]
        return id_

    async def becomes(self, id_: str, status: str, **more: Any) -> None:
        body = (await self.http.get(f"Appointment/{id_}")).json()
        answer = await self.http.put(f"Appointment/{id_}", json={**body, "status": status, **more})
        assert answer.status_code == 200, answer.text


@pytest.fixture
async def editor(server: Server, platform: Platform, folder: Path) -> Editor:
    alice = {"resourceType": "Practitioner", "id": "alice", "identifier": DOCTORS}
    regul = {"resourceType": "Practitioner", "id": "regul", "identifier": [{"system": ACCOUNTS, "value": "r"}]}
    entries = [entry("PUT", f"Practitioner/{one['id']}", one) for one in (alice, regul)]
    assert (await server.http.post("", json=bundle("transaction", *entries))).status_code == 200
    return Editor(server, platform, folder)


async def test_our_bookings_are_told_in_order_each_once(editor: Editor) -> None:
    a, b = await editor.book("a"), await editor.book("b", extension=[operator(reference="Practitioner/regul")])
    await created(editor.http, told(value="not-ours", meta=None, extension=None))
    await editor.becomes(a, "arrived")
    await editor.becomes(a, "fulfilled")
    assert await editor.push() == Remains(3, 0, 0, 0)
    assert editor.platform.asked == [("POST", "a", "booked"), ("POST", "b", "booked"), ("PUT", "a", "fulfilled")]
    await editor.http.delete(f"Appointment/{b}")
    assert await editor.push() == Remains(1, 0, 0, 0)
    assert await editor.push() == Remains(0, 0, 0, 0)
    assert await editor.platform.states() == {"a": ["fulfilled"], "b": ["cancelled"]}
    assert editor.lines == []


@ONE_ENGINE
async def test_a_lost_journal_does_no_harm(editor: Editor) -> None:
    await editor.becomes(await editor.book("a"), "entered-in-error")
    for _ in range(2):
        left = await editor.push()
        editor.journal.unlink()
    assert left.refused == 0
    assert await editor.platform.states() == {"a": ["cancelled"]}


@ONE_ENGINE
async def test_states_before_booked_are_not_told(editor: Editor) -> None:
    a, b = [await editor.book(value, status=status) for value, status in (("a", "proposed"), ("b", "pending"))]
    await editor.becomes(b, "cancelled")
    assert await editor.push() == Remains(0, 0, 0, 0)
    await editor.becomes(a, "booked")
    await editor.push()
    assert await editor.platform.states() == {"a": ["booked"]}


@ONE_ENGINE
async def test_what_is_refused_holds_up_nobody_and_is_tried_by_the_next_run(editor: Editor) -> None:
    ids = [await editor.book(value) for value in "abc"]
    editor.platform.bad = lambda body: httpx.Response(422) if body["identifier"][0]["value"] == "b" else None
    assert await editor.push() == Remains(2, 1, 0, 0)
    assert editor.lines == [f"Appointment/{ids[1]}, version 1: refused, 422."]
    assert await editor.push() == Remains(0, 1, 0, 0)
    assert await editor.push(forget_refused=True) == Remains(0, 0, 0, 0)
    editor.platform.bad = lambda _: None
    await editor.becomes(ids[1], "fulfilled")
    assert await editor.push() == Remains(1, 0, 0, 0)
    assert await editor.platform.states() == {"a": ["booked"], "b": ["fulfilled"], "c": ["booked"]}


@ONE_ENGINE
async def test_state_that_the_platform_does_not_allow_is_told(editor: Editor) -> None:
    a = await editor.book("a")
    await editor.becomes(a, "fulfilled")
    await editor.becomes(a, "noshow")
    assert await editor.push() == Remains(2, 1, 0, 0)
    assert editor.lines == [f"Appointment/{a}, version 3: refused, 409 (business-rule at Appointment.status)."]


async def test_what_has_no_number_is_told_and_sent_when_it_has_one(editor: Editor) -> None:
    alice = (await editor.http.get("Practitioner/alice")).json()
    await editor.http.put("Practitioner/alice", json={name: one for name, one in alice.items() if name != "identifier"})
    a = await editor.book("a")
    await editor.becomes(a, "fulfilled")
    assert await editor.push() == Remains(0, 0, 2, 0)
    assert len(editor.lines) == 2
    assert f"Appointment/{a}, version 1: cannot be sent: no participant has a national number" in editor.lines[0]
    await editor.http.put("Practitioner/alice", json=alice)
    assert await editor.push() == Remains(2, 0, 0, 0)
    assert editor.platform.order("a") == ["booked", "fulfilled"]


@ONE_ENGINE
async def test_unknown_outcome_is_asked_again_by_put(editor: Editor) -> None:
    await editor.book("a")
    losses = iter([httpx.ReadError("cut"), httpx.ReadTimeout("late"), None])
    editor.platform.lost = lambda _: next(losses)
    assert await editor.push() == Remains(1, 0, 0, 0)
    assert [one[0] for one in editor.platform.asked] == ["POST", "PUT", "PUT"]
    assert await editor.platform.states() == {"a": ["booked"]}
    assert editor.lines[0].startswith("The platform: no answer (ReadError); next try in ")


@ONE_ENGINE
async def test_platform_that_does_not_answer_is_waited_for_but_not_for_ever(editor: Editor) -> None:
    await editor.becomes(await editor.book("a"), "cancelled")
    await editor.book("b")
    editor.platform.bad = lambda _: httpx.Response(503, headers={"Retry-After": "9"})
    assert await editor.push() == Remains(0, 0, 0, 3)
    assert len(editor.platform.asked) == 6
    assert [round(one) for one in editor.slept[:3]] == [9, 9, 9]
    editor.platform.bad = lambda _: None
    assert await editor.push() == Remains(3, 0, 0, 0)
    assert await editor.platform.states() == {"a": ["cancelled"], "b": ["booked"]}


@ONE_ENGINE
async def test_an_appointment_that_breaks_the_platform_holds_up_itself_alone(editor: Editor) -> None:
    await editor.becomes(await editor.book("a"), "fulfilled")
    await editor.book("b")
    editor.platform.bad = lambda body: httpx.Response(500) if body["identifier"][0]["value"] == "a" else None
    assert await editor.push() == Remains(1, 0, 0, 2)
    assert editor.platform.order("a") == ["booked"]
    assert len(editor.platform.asked) == 7


@ONE_ENGINE
async def test_order_is_kept_however_long_the_others_take(editor: Editor) -> None:
    a = await editor.book("a")
    await editor.book("b")
    await editor.becomes(a, "fulfilled")
    failures = iter([httpx.Response(500)])

    def slow(body: Json) -> httpx.Response | None:
        editor.slept.append(100.0)
        return next(failures, None) if body["identifier"][0]["value"] == "a" else None

    editor.platform.bad = slow
    assert await editor.push() == Remains(3, 0, 0, 0)
    assert [one[1:] for one in editor.platform.asked] == [
        ("a", "booked"),
        ("b", "booked"),
        ("a", "booked"),
        ("a", "fulfilled"),
    ]


class Stopped(Exception):
    """Ends a run that follows."""


@ONE_ENGINE
async def test_following_goes_on_until_it_is_stopped(editor: Editor) -> None:
    looks = itertools.count()

    async def sleep(seconds: float) -> None:
        assert seconds <= 1.0
        match next(looks):
            case 0:
                await editor.book("a")
            case 1:
                await editor.book("b")
            case _:
                raise Stopped

    with pytest.raises(Stopped):
        await editor.push(follow=True, sleep=sleep)
    assert await editor.platform.states() == {"a": ["booked"], "b": ["booked"]}


@ONE_ENGINE
async def test_store_that_cannot_answer_is_waited_for_while_it_is_followed(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await editor.book("a")
    store = editor.server.service.context.store
    looks = iter([False, False, True])

    async def log(after: int) -> AsyncIterator[Commit]:
        if not next(looks):
            raise StoreUnavailable("no answer")
        async for commit in type(store).log(store, after):
            yield commit

    async def sleep(_: float) -> None:
        if await editor.platform.states():
            raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(store, "log", log)
        await editor.push(follow=True, sleep=sleep)
    assert editor.lines == ["The store cannot answer now; it is tried again."]


@ONE_ENGINE
async def test_journal_is_of_one_log_and_one_platform(editor: Editor, platform: Platform) -> None:
    await editor.push()
    with pytest.raises(CommandFailed, match="another platform"):
        await editor.push(to="https://other.example.org")
    with pytest.raises(CommandFailed, match="another store"):
        await push(platform.server.service, editor.options(), editor.lines.append)


@ONE_ENGINE
async def test_what_was_received_is_not_told_on(platform: Platform, editor: Editor) -> None:
    """A store of a regional platform, which holds what editors have told it, tells none of that as its own."""
    assert (await platform.server.http.post(f"{SAS}/Appointment", json=told())).status_code == 201
    assert await push(platform.server.service, editor.options(), editor.lines.append) == Remains(0, 0, 0, 0)


# --- killed at each step ---------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process has ended here: nothing catches it."""


class Steps:
    """Counts the steps of a run, and ends it at one of them."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def __call__(self, *_: object) -> None:
        self.count += 1
        if self.count == self.at:
            raise Killed


JOURNALED = ("together", "reach", "plan", "trying", "sent", "refused", "next", "again")


def dying(monkeypatch: pytest.MonkeyPatch, platform: Platform, steps: Steps) -> None:
    """Make each step of the journal and of the way to the platform one that may be the last, before it and after it."""

    def wrapped(method: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> Any:
            steps()
            found = method(*arguments)
            steps()
            return found

        return step

    for name in JOURNALED:
        monkeypatch.setattr(Journal, name, wrapped(getattr(Journal, name)))

    platform.bad = platform.lost = steps  # before it arrives, and after it was done


@ONE_ENGINE
async def test_killed_at_each_step_there_is_one_appointment_in_its_last_state(
    editor: Editor, platform: Platform, folder: Path
) -> None:
    a, b = await editor.book("a"), await editor.book("b")
    await editor.becomes(a, "arrived", description="x")
    await editor.becomes(a, "fulfilled")
    await editor.becomes(b, "cancelled")
    expected = {"a": ["fulfilled"], "b": ["cancelled"]}
    for at in itertools.count(1):
        editor.journal = folder / f"{at}.sas-journal"
        steps = Steps(at)
        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            dying(patch, platform, steps)
            await editor.push()
        platform.bad = platform.lost = lambda _: None
        left = await editor.push()
        assert (left.refused, left.unsendable, left.waiting) == (0, 0, 0), at
        assert await platform.states() == expected, at
        assert (platform.order("a"), platform.order("b")) == (["booked", "fulfilled"], ["booked", "cancelled"]), at
        assert all(platform.asked.count(("POST", value, "booked")) <= 1 for value in expected), at
        if steps.count < at:
            break
        await platform.forget()
    assert at > 50
