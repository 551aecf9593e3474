"""Rules that a guide adds to writes: what they put, keep, refuse and say, and that it holds at the head of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import httpx
import pytest

from fhir_server.interactions.rules import Asked, AtHead, Ruling
from fhir_server.model.formats import Resource, parse
from fhir_server.model.reference import Key
from fhir_server.outcome import Conflict, Issue, IssueType, Severity
from fhir_server.search.query import Equality
from fhir_server.storage.protocol import Change, Snapshot, View
from tests.rest.asking import (
    Json,
    created,
    done,
    entry,
    found,
    ids,
    issues,
    organization,
    practitioner,
    refused,
    role,
    status,
)
from tests.rest.conftest import Server

KEPT = Issue(IssueType.BUSINESS_RULE, "it is kept", severity=Severity.WARNING, id="kept")


@dataclass
class Counting:
    """A PractitionerRole counts itself in its Organization's ``alias``; one that is counted cannot be deleted by
    criteria, and a Practitioner has one role."""

    concerns: frozenset[str] = frozenset({"PractitionerRole"})
    looks: bool = True
    prepared: int = field(default=0)

    async def prepare(self, snapshot: Snapshot, asked: Sequence[Asked]) -> Ruling:
        self.prepared += 1
        mine = [one for one in asked if one.key.type == "PractitionerRole"]
        put, versions = await self._counted(snapshot, asked, mine)
        keep = {one.key: KEPT for one in mine if one.resource is None and one.by_criteria}
        return Ruling(put, keep, versions, _one_role())

    async def _counted(
        self, snapshot: Snapshot, asked: Sequence[Asked], mine: Sequence[Asked]
    ) -> tuple[Mapping[Key, Resource], Mapping[Key, int | None]]:
        wanted = {key for one in mine if one.resource for key in _referred(one.resource, "organization")}
        own = {one.key: one.resource for one in asked if one.resource is not None}
        stored = await snapshot.read(wanted - own.keys())
        before = {key: one.body for key, one in stored.items() if one.body is not None}
        resources = {key: own.get(key) or parse(before[key]) for key in wanted if key in own or key in before}
        put = {key: {**one, "alias": [*one.get("alias", ()), "counted"]} for key, one in resources.items()}
        return put, {key: stored[key].version for key in before}


def _one_role() -> AtHead:
    async def at_head(view: View, changes: Sequence[Change]) -> Mapping[Key, Sequence[Issue]]:
        warnings: dict[Key, Sequence[Issue]] = {}
        for change in changes:
            if change.key.type != "PractitionerRole" or change.body is None:
                continue
            entries = [one for one in change.entries if isinstance(one, Equality) and one.parameter == "practitioner"]
            (held,) = await view.holders([("PractitionerRole", entries[0])]) if entries else ((),)
            if set(held) - {change.key}:
                raise Conflict(Issue(IssueType.DUPLICATE, "there is a role already", id="one-role"))
            warnings[change.key] = [KEPT]
        return warnings

    return at_head


def _referred(resource: Resource, name: str) -> Iterator[Key]:
    if name in resource:
        type_, _, id_ = resource[name]["reference"].partition("/")
        yield Key(type_, id_)


@pytest.fixture
def rule(server: Server) -> Counting:
    counting = Counting()
    server.service.context = replace(server.service.context, rules=(counting,))
    return counting


def check(resource: Resource) -> Iterator[Issue]:
    if resource.get("name") == "Interdit":
        yield Issue(IssueType.BUSINESS_RULE, "this name is not given", ("Organization.name",), id="name")


@pytest.fixture
def checked(server: Server) -> None:
    tools = replace(server.service.context.tools, checks=(check,))
    server.service.context.definitions.tools = tools


def counted(id_: str) -> Json:
    return role(organization={"reference": f"Organization/{id_}"})


async def test_rule_puts_another_resource_in_the_same_commit(http: httpx.AsyncClient, rule: Counting) -> None:
    id_ = (await created(http, organization()))["id"]
    answer = await http.post("PractitionerRole", json=counted(id_))
    assert answer.json()["resourceType"] == "PractitionerRole"
    after = (await http.get(f"Organization/{id_}")).json()
    assert after["alias"] == ["counted"]
    assert after["meta"]["versionId"] == "2"
    assert after["meta"]["lastUpdated"] == answer.json()["meta"]["lastUpdated"]


async def test_rule_changes_what_the_transaction_writes_itself(http: httpx.AsyncClient, rule: Counting) -> None:
    one, other = entry("PUT", "Organization/x", organization(id="x")), entry("POST", "PractitionerRole", counted("x"))
    answers = await done(http, "transaction", one, other)
    assert [status(answer) for answer in answers] == [201, 201]
    after = (await http.get("Organization/x")).json()
    assert (after["alias"], after["meta"]["versionId"]) == (["counted"], "1")


async def test_rule_is_not_asked_about_other_types(http: httpx.AsyncClient, rule: Counting) -> None:
    await created(http, organization())
    assert rule.prepared == 0


async def test_rule_keeps_what_is_deleted_by_criteria_and_says_so(http: httpx.AsyncClient, rule: Counting) -> None:
    id_ = (await created(http, role(active=True)))["id"]
    (answer,) = await done(http, "transaction", entry("DELETE", "PractitionerRole?active=true"))
    assert ids(answer["response"]["outcome"]) == ["kept"]
    assert (await http.get(f"PractitionerRole/{id_}")).status_code == 200
    assert (await http.delete(f"PractitionerRole/{id_}")).status_code == 204


async def test_rule_refuses_at_the_head(http: httpx.AsyncClient, rule: Counting) -> None:
    one = (await created(http, practitioner()))["id"]
    wishes = [http.post("PractitionerRole", json=role(f"Practitioner/{one}")) for _ in range(8)]
    answers = await asyncio.gather(*wishes)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    refused(next(answer for answer in answers if answer.status_code == 409), 409, "one-role")
    assert len(await found(http, f"PractitionerRole?practitioner={one}")) == 1


async def test_what_a_rule_puts_is_never_lost_in_a_race(http: httpx.AsyncClient, rule: Counting) -> None:
    id_ = (await created(http, organization()))["id"]
    answers = await asyncio.gather(*(http.post("PractitionerRole", json=counted(id_)) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert (await http.get(f"Organization/{id_}")).json()["alias"] == ["counted"] * 20


async def test_rule_warns(http: httpx.AsyncClient, rule: Counting) -> None:
    one = (await created(http, practitioner()))["id"]
    headers = {"Prefer": "return=OperationOutcome"}
    answer = await http.post("PractitionerRole", json=role(f"Practitioner/{one}"), headers=headers)
    assert [issue["diagnostics"] for issue in issues(answer)[1:]] == ["it is kept"]


@pytest.mark.usefixtures("checked")
async def test_check_of_a_guide_refuses_one_resource(http: httpx.AsyncClient) -> None:
    refused(await http.post("Organization", json=organization("Interdit")), 422, "name")
    answers = await done(http, "batch", entry("POST", "Organization", organization("Interdit")))
    assert ids(answers[0]["response"]["outcome"]) == ["name"]
