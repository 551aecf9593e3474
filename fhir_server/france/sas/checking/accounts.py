"""INT_R02 played whole: accounts of regulators are created, refused, changed, disabled and handed on.

Everybody in it is fictitious, and what was created is disabled at the end: the guide knows no deletion.
Source: https://interop.esante.gouv.fr/ig/fhir/sas/ (INT_R02) and the test kit
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from fhir_server.france import vocabulary
from fhir_server.france.identifiers import IDNPS_SYSTEM
from fhir_server.france.regulators import ACCOUNT_SYSTEM
from fhir_server.france.sas.checking.answer import Answer
from fhir_server.france.sas.checking.caller import SENT, Caller
from fhir_server.france.sas.checking.looking import name_in, name_of, text, texts
from fhir_server.france.sas.checking.verdict import Verdict

_PROFILE: Final = "https://interop.esante.gouv.fr/ig/fhir/sas/StructureDefinition/FrPractitionerRegul"
_CODES: Final = {IDNPS_SYSTEM: "IDNPS", ACCOUNT_SYSTEM: "INTRN"}
_MAIL: Final = {"system": "email", "value": "verification@example.org"}
_NAME: Final = {"family": "FICTIF", "given": ["Alice"]}


class Number(NamedTuple):
    """An identifier of an account."""

    system: str
    value: str

    @property
    def criterion(self) -> str:
        """How a conditional update names it."""
        return f"{self.system}%7C{self.value}"


@dataclass(frozen=True, slots=True)
class Made:
    """An account that the check created. ``name`` is ``Practitioner/id``; ``is_active``: it could not be disabled."""

    name: str
    number: Number | None
    is_active: bool = True


def account(number: Number, **changes: Any) -> dict[str, Any]:
    """Return a whole account; a change to None leaves an element out."""
    body: dict[str, Any] = {
        "resourceType": "Practitioner",
        "meta": {"source": ACCOUNT_SYSTEM, "profile": [_PROFILE]},
        "identifier": [_identifier(number, _CODES[number.system])],
        "active": True,
        "name": [_NAME],
        "telecom": [_MAIL],
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def faulty(new: Callable[[], Number], national: Number) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield accounts that have to be refused, each with the rule that says so."""
    yield "account-identifier", account(new(), identifier=None)
    yield "account-name", account(new(), name=None)
    yield "account-telecom", account(new(), telecom=None)
    yield "account-active", account(new(), active=None)
    yield "account-family", account(new(), name=[{**_NAME, "family": ""}])
    yield "account-mail", account(new(), telecom=[{**_MAIL, "value": ""}])
    yield "account-mail-system", account(new(), telecom=[{"system": "phone", "value": "+33399990000"}])
    number = new()
    yield "account-type", account(number, identifier=[_identifier(number, "IDNPS")])
    yield "account-type", account(national, identifier=[_identifier(national, "INTRN")])


def _identifier(number: Number, code: str) -> dict[str, Any]:
    return {"type": {"coding": [{"system": vocabulary.IDENTIFIER_TYPES_OLD, "code": code}]}, **number._asdict()}


class Accounts:
    """One play of the flow. ``new_id`` gives UUIDs; ``nationals``: two IDNPS that nobody has."""

    def __init__(self, caller: Caller, new_id: Callable[[], str], nationals: Sequence[str]) -> None:
        self._caller = caller
        self._new_id = new_id
        self._national, self._spare = (Number(IDNPS_SYSTEM, value) for value in nationals[:2])
        self.verdicts: list[Verdict] = []
        self.made: list[Made] = []

    async def play(self) -> None:
        """Play the flow; what it created is disabled at its end, however that comes."""
        try:
            await self._play()
        finally:
            self.made = [await self._disabled(one) for one in self.made]

    async def _play(self) -> None:
        first = self._number()
        created = await self._post(account(first))
        self._judge("account-create", created.status == 201, created)
        if not created.is_done:
            return
        self._judge("account-location", bool(_located(created)), created, "Location")
        self._refused("account-duplicate", await self._post(account(first)))
        for rule, body in faulty(self._number, self._spare):
            self._refused(rule, await self._post(body))
        await self._change(first)
        await self._hand_on()
        unknown = self._number()
        answer = await self._put(unknown, account(unknown))
        self._judge("account-update-creates", answer.status in {200, 201}, answer)

    async def _change(self, number: Number) -> None:
        """Change an account: its name, then its number, then the kind of its number."""
        renamed = account(number, name=[{**_NAME, "given": ["Alix"]}])
        answer = await self._put(number, renamed)
        self._judge("account-update", answer.status == 200, answer)
        if answer.status != 200:
            return
        self._judge("account-update-location", bool(_located(answer)), answer, "Location")
        for kind in ("application/json", "application/fhir+json"):
            answer = await self._put(number, renamed, kind=kind)
            self._judge("account-media", answer.status == 200, answer, kind)
        theirs = self._new_id()
        answer = await self._put(number, {**renamed, "id": theirs})
        self._judge("account-body-id", answer.status == 200 and not _located(answer).endswith(theirs), answer)
        answer = await self._put(number, renamed, more="&_format=json")
        self._judge("account-format", answer.status == 200, answer)
        answer = await self._put(number, renamed, parameter="Identifier")
        self._judge("account-capital", answer.status == 200, answer)
        other = self._number()
        for rule, after in (
            ("account-renumber", other),
            ("account-retype", self._national),
            ("account-retype", other),
            ("account-retype", self._national),
        ):
            answer = await self._put(self._first, account(after))
            self._judge(rule, answer.status == 200, answer)
            if answer.is_done:
                self.made[0] = replace(self.made[0], number=after)

    async def _hand_on(self) -> None:
        """Disable the account, give its number to somebody else, and change that one by the number."""
        mine = self._first
        answer = await self._put(mine, account(mine, active=False))
        self._judge("account-disable", answer.status == 200, answer)
        if not answer.is_done:
            return
        self.made[0] = replace(self.made[0], is_active=False)
        somebody = account(mine, name=[{"family": "FICTIVE", "given": ["Bruno"]}])
        second = await self._post(somebody)
        self._judge("account-reattribute", second.status == 201, second)
        if second.is_done:
            answer = await self._put(mine, somebody)
            is_second = answer.status == 200 and _named(answer) in {"", _named(second)}
            self._judge("account-active-first", is_second, answer)

    async def _post(self, body: dict[str, Any]) -> Answer:
        self.made.append(Made("", _number_in(body)))  # before: the answer may never come
        answer = await self._caller.send("POST", "Practitioner", body)
        if answer.is_refused:
            self.made.pop()
        else:
            self.made[-1] = replace(self.made[-1], name=_named(answer))
        return answer

    async def _put(
        self, number: Number, body: dict[str, Any], *, parameter: str = "identifier", more: str = "", kind: str = SENT
    ) -> Answer:
        path = f"Practitioner?{parameter}={number.criterion}{more}"
        answer = await self._caller.send("PUT", path, body, kind)
        if answer.status == 201:
            self.made.append(Made(_named(answer), _number_in(body)))
        return answer

    @property
    def _first(self) -> Number:
        """The number that the account created first has by now."""
        return self.made[0].number or self._national

    async def _disabled(self, made: Made) -> Made:
        """Disable an account by its number; one that has none by its id."""
        if not made.is_active:
            return made
        body = account(made.number or self._number(), active=False)
        answer = Answer(0, {}, b"")
        if made.number is not None:
            answer = await self._caller.send("PUT", f"Practitioner?identifier={made.number.criterion}", body)
        if not answer.is_done and made.name:
            answer = await self._caller.send("PUT", made.name, {**body, "id": made.name.partition("/")[2]})
        return replace(made, is_active=not answer.is_done)

    def _number(self) -> Number:
        return Number(ACCOUNT_SYSTEM, self._new_id())

    def _judge(self, rule: str, holds: bool, answer: Answer, where: str = "") -> None:
        self.verdicts.append(Verdict(rule, holds, where, answer.told))

    def _refused(self, rule: str, answer: Answer) -> None:
        self._judge(rule, answer.is_refused, answer)
        if answer.is_refused:
            self._judge("refusal-told", answer.type == "OperationOutcome", answer)


def unused(answer: Answer, candidates: Sequence[str]) -> list[str]:
    """Return the candidates that no resource of an answer has as a number."""
    taken = set(texts(answer.json, "entry", "resource", "identifier", "value"))
    return [one for one in candidates if one not in taken]


def _located(answer: Answer) -> str:
    """Return ``Practitioner/id`` of what an answer is about; empty: it does not say."""
    name = name_in(answer.headers.get("location", ""))
    return name if name.startswith("Practitioner/") else ""


def _named(answer: Answer) -> str:
    """Return the same, out of the body where the header does not say."""
    inside = name_of(answer.json)
    return _located(answer) or (inside if inside.startswith("Practitioner/") and not inside.endswith("?") else "")


def _number_in(body: dict[str, Any]) -> Number | None:
    system, value = text(body, "identifier", "system"), text(body, "identifier", "value")
    return Number(system, value) if value else None
