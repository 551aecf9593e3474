"""INT_R02 played whole: accounts of regulators are created, refused, changed, disabled and handed on.

Everybody in it is fictitious, and what was created is disabled at the end: the guide knows no deletion.
Source: https://interop.esante.gouv.fr/ig/fhir/sas/ (INT_R02) and the test kit
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from fhir_server.france.identifiers import IDNPS_SYSTEM
from fhir_server.france.regulators import ACCOUNT_SYSTEM
from fhir_server.france.sas import profiles
from fhir_server.france.sas.checking.answer import Answer
from fhir_server.france.sas.checking.caller import Caller
from fhir_server.france.sas.checking.looking import name_in, text, texts
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


def faulty(number: Number, national: Number) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield accounts that have to be refused, each with the rule that says so."""
    yield "account-identifier", account(number, identifier=None)
    yield "account-name", account(number, name=None)
    yield "account-telecom", account(number, telecom=None)
    yield "account-active", account(number, active=None)
    yield "account-family", account(number, name=[{**_NAME, "family": ""}])
    yield "account-mail", account(number, telecom=[{**_MAIL, "value": ""}])
    yield "account-mail-system", account(number, telecom=[{"system": "phone", "value": "+33399990000"}])
    yield "account-type", account(number, identifier=[_identifier(number, "IDNPS")])
    yield "account-type", account(national, identifier=[_identifier(national, "INTRN")])


def _identifier(number: Number, code: str) -> dict[str, Any]:
    return {"type": {"coding": [{"system": profiles.TYPES_OLD, "code": code}]}, **number._asdict()}


class Accounts:
    """One play of the flow. ``new_id`` gives UUIDs; ``national``: an IDNPS that nobody has."""

    def __init__(self, caller: Caller, new_id: Callable[[], str], national: str) -> None:
        self._caller = caller
        self._new_id = new_id
        self._national = Number(IDNPS_SYSTEM, national)
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
        for rule, body in faulty(self._number(), self._national):
            self._refused(rule, await self._post(body))
        await self._change(first, _located(created))
        await self._hand_on(_located(created))
        unknown = self._number()
        answer = await self._put(unknown, account(unknown))
        self._judge("account-update-creates", answer.status in {200, 201}, answer)

    async def _change(self, number: Number, name: str) -> None:
        """Change an account: its name, then its number, then the kind of its number."""
        renamed = account(number, name=[{**_NAME, "given": ["Alix"]}])
        answer = await self._put(number, renamed)
        self._judge("account-update", answer.status == 200, answer)
        if answer.status == 200:
            self._judge("account-update-location", bool(_located(answer)), answer, "Location")
        theirs = self._new_id()
        answer = await self._put(number, {**renamed, "id": theirs})
        self._judge("account-body-id", answer.status == 200 and not _located(answer).endswith(theirs), answer)
        answer = await self._put(number, renamed, more="&_format=json")
        self._judge("account-format", answer.status == 200, answer)
        answer = await self._put(number, renamed, parameter="Identifier")
        self._judge("account-capital", answer.status == 200, answer)
        other = self._number()
        for rule, before, after in (
            ("account-renumber", number, other),
            ("account-retype", other, self._national),
            ("account-retype", self._national, other),
            ("account-retype", other, self._national),
        ):
            answer = await self._put(before, account(after))
            self._judge(rule, answer.status == 200, answer)
            if answer.is_done:
                self._replace(name, number=after)

    async def _hand_on(self, name: str) -> None:
        """Disable the account, give its number to somebody else, and change that one by the number."""
        mine = next((one.number for one in self.made if one.name == name and one.number), self._national)
        answer = await self._put(mine, account(mine, active=False))
        self._judge("account-disable", answer.status == 200, answer)
        if not answer.is_done:
            return
        self._replace(name, is_active=False)
        somebody = account(mine, name=[{"family": "FICTIVE", "given": ["Bruno"]}])
        second = await self._post(somebody)
        self._judge("account-reattribute", second.status == 201, second)
        if second.is_done:
            answer = await self._put(mine, somebody)
            is_second = answer.status == 200 and _located(answer) in {"", _located(second)}
            self._judge("account-active-first", is_second, answer)

    async def _post(self, body: dict[str, Any]) -> Answer:
        return self._kept(await self._caller.send("POST", "Practitioner", body), body)

    async def _put(
        self, number: Number, body: dict[str, Any], *, parameter: str = "identifier", more: str = ""
    ) -> Answer:
        path = f"Practitioner?{parameter}={number.criterion}{more}"
        answer = await self._caller.send("PUT", path, body)
        return self._kept(answer, body) if answer.status == 201 else answer

    def _kept(self, answer: Answer, body: dict[str, Any]) -> Answer:
        """Remember what an answer says was created."""
        if answer.is_done:
            numbers = [Number(text(one, "system"), text(one, "value")) for one in body.get("identifier", ())]
            self.made.append(Made(_located(answer), numbers[0] if numbers else None))
        return answer

    def _replace(self, name: str, **changes: Any) -> None:
        self.made = [replace(one, **changes) if one.name == name else one for one in self.made]

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


def unused(answer: Answer, candidates: Sequence[str]) -> str:
    """Return the first candidate that no resource of an answer has as a number."""
    taken = set(texts(answer.json, "entry", "resource", "identifier", "value"))
    return next((one for one in candidates if one not in taken), "")


def _located(answer: Answer) -> str:
    """Return ``Practitioner/id`` of what an answer is about; empty: it does not say."""
    name = name_in(answer.headers.get("location", ""))
    return name if name.startswith("Practitioner/") else ""
