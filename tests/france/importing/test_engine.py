"""The engine of imports: what it changes, what it leaves alone, when it refuses, how it goes on."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fhir_server.france.importing import applying
from fhir_server.france.importing.findings import Place, Refused
from fhir_server.france.importing.run import Abnormal, LinesRefused
from fhir_server.france.importing.source import RUNS, SOURCES, Owner, Wanted
from fhir_server.interactions import draft
from fhir_server.interactions.draft import Raw, Ready
from fhir_server.interactions.exchange import Request
from fhir_server.interactions.tools import Tools
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.model.reference import Key
from fhir_server.service import Service
from tests.france.importing.importing_world import Fake, World, numbers, organization, person, role, world

CPTS = Owner("cpts", "essais")
IDNPS = "899700990015"
CHUNK = 8
PARAMETER = {
    "resourceType": "SearchParameter",
    "id": "nickname",
    "url": "https://example.org/SearchParameter/nickname",
    "name": "Nickname",
    "status": "active",
    "description": "A name as people say it",
    "code": "nickname",
    "base": ["Organization"],
    "type": "string",
    "expression": "Organization.name",
}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "CHUNK", CHUNK)


def many(count: int, name: str = "Cabinet") -> list[Wanted]:
    return [organization(f"o{number}", f"{name} {number}") for number in range(count)]


async def test_a_second_run_changes_nothing_on_either_engine(store: str) -> None:
    wanted = [
        role("r", "p", "site"),
        person("p", IDNPS),
        organization("site", "Site", partOf={"reference": "Organization/whole"}),
        organization("whole", "Ensemble"),
    ]
    async with world(store, integrity="enforce") as there:
        assert numbers(await there.run(Fake(wanted))) == (4, 0, 0, 0, 0)
        head = await there.head()
        assert numbers(await there.run(Fake(wanted[::-1]), "other")) == (0, 0, 0, 4, 0)
        assert await there.head() == head
        gone = await there.run(Fake(wanted[1:]), max_deactivated=100)
        assert numbers(gone) == (0, 0, 1, 3, 0)


async def test_changes_are_written_by_chunks_and_found_by_source_and_run(empty: World) -> None:
    await empty.run(Fake(many(2 * CHUNK + 1)), "first")
    assert await empty.head() == 3
    found = await empty.get("Organization", f"_tag={SOURCES}|annuaire:france&_summary=count")
    assert found["total"] == 2 * CHUNK + 1
    await empty.run(Fake([*many(2 * CHUNK), organization(f"o{2 * CHUNK}", "Autre")]), "second")
    assert await empty.ids("Organization", f"_tag={RUNS}|second") == [f"o{2 * CHUNK}"]


async def test_what_vanishes_is_deactivated_and_what_comes_back_is_active_again(empty: World) -> None:
    both = [organization("o", "Cabinet"), person("p", IDNPS), role("r", "p", "o")]
    await empty.run(Fake(both))
    assert numbers(await empty.run(Fake(both[:2]), max_deactivated=40)) == (0, 0, 1, 2, 0)
    gone = await empty.get("PractitionerRole/r")
    assert (gone["active"], gone["period"]) == (False, {"end": "2026-01-05"})
    assert numbers(await empty.run(Fake(both[:2]))) == (0, 0, 0, 2, 0)
    assert numbers(await empty.run(Fake(both))) == (0, 1, 0, 2, 0)
    back = await empty.get("PractitionerRole/r")
    assert back["active"] is True
    assert "period" not in back


async def test_an_abnormal_change_is_refused_and_writes_nothing(empty: World) -> None:
    await empty.run(Fake(many(20)))
    head = await empty.head()
    with pytest.raises(Abnormal, match=r"4 des 20 ressources .* --max-deactivated 20\.$"):
        await empty.run(Fake([*many(16), organization("new", "Nouveau")]))
    assert await empty.head() == head
    assert numbers(await empty.run(Fake(many(17)))) == (0, 0, 3, 17, 0)
    assert numbers(await empty.run(Fake([]), max_deactivated=100)) == (0, 0, 17, 0, 0)


async def test_a_source_leaves_alone_what_others_manage(empty: World) -> None:
    await empty.put({"resourceType": "Organization", "id": "o1", "name": "Écrit par un client"})
    await empty.run(Fake([organization("o2", "Décrit par la CPTS")], CPTS))
    assert numbers(await empty.run(Fake(many(3)))) == (1, 0, 0, 0, 2)
    assert (await empty.get("Organization/o1"))["name"] == "Écrit par un client"
    assert (await empty.get("Organization/o2"))["name"] == "Décrit par la CPTS"
    assert numbers(await empty.run(Fake([]), max_deactivated=100)) == (0, 0, 1, 0, 0)
    assert "active" not in await empty.get("Organization/o1")


async def test_what_nobody_manages_is_adopted_when_told_and_keeps_the_tags_of_others(empty: World) -> None:
    own = {"system": "https://example.org/tags", "code": "mine"}
    await empty.put({"resourceType": "Organization", "id": "o0", "name": "Ancien", "meta": {"tag": [own]}})
    assert numbers(await empty.run(Fake(many(1)), adopt=True)) == (0, 1, 0, 0, 0)
    found = await empty.get("Organization/o0")
    assert found["name"] == "Cabinet 0"
    assert own in found["meta"]["tag"]
    assert numbers(await empty.run(Fake(many(1)))) == (0, 0, 0, 1, 0)


async def test_a_higher_source_takes_over_and_the_lower_one_refers_to_it(empty: World) -> None:
    low, high = Owner("membres", "essais"), Owner("annuaire", "france")
    await empty.run(Fake([person("p-low", IDNPS, name=[{"family": "FICTIF"}])], low))
    taken = await empty.run(Fake([person("p-high", IDNPS, name=[{"family": "FICTIVE"}])], high))
    assert numbers(taken) == (0, 1, 0, 0, 0)
    again = [person("p-low", IDNPS), organization("o", "CPTS"), role("r", "p-low", "o")]
    assert numbers(await empty.run(Fake(again, low))) == (2, 0, 0, 0, 1)
    assert await empty.ids("Practitioner", "") == ["p-low"]
    assert (await empty.get("Practitioner/p-low"))["name"] == [{"family": "FICTIVE"}]


async def test_a_person_known_by_number_is_referred_to_by_the_id_that_is_there(store: str) -> None:
    identifier = [{"system": "urn:oid:1.2.250.1.71.4.2.1", "value": IDNPS}]
    async with world(store) as there:
        await there.put({"resourceType": "Practitioner", "id": "client", "identifier": identifier})
        await there.run(Fake([person("p", IDNPS), organization("o", "CPTS"), role("r", "p", "o")]))
        assert (await there.get("PractitionerRole/r"))["practitioner"] == {"reference": "Practitioner/client"}
        assert await there.ids("Practitioner", "") == ["client"]


def profession(code: str) -> dict[str, object]:
    system = "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"
    return {"qualification": [{"code": {"coding": [{"system": system, "code": code}]}}]}


async def test_two_professions_of_one_number_are_two_and_two_accounts_of_one_are_refused(empty: World) -> None:
    await empty.run(Fake([person("doctor", IDNPS, **profession("10"))]))
    assert numbers(await empty.run(Fake([person("nurse", IDNPS, **profession("60"))], CPTS))) == (1, 0, 0, 0, 0)
    with pytest.raises(LinesRefused):
        await empty.run(Fake([person("unknown", IDNPS)], Owner("membres", "x")))
    assert empty.told == [
        "f:1 : plusieurs Practitioner du serveur ont l'un de ses identifiants : "
        f"doctor ({IDNPS[1:]}) et nurse ({IDNPS[1:]}). "
        "Remède : rendez inactif celui qui est en trop, puis relancez cet import."
    ]


async def test_two_scopes_of_one_register_share_what_both_have(empty: World) -> None:
    north, south = Owner("annuaire", "nord"), Owner("annuaire", "sud")
    await empty.run(Fake(many(2), north))
    assert numbers(await empty.run(Fake(many(2)[:1], south))) == (0, 1, 0, 0, 0)
    assert numbers(await empty.run(Fake(many(2)[1:], north), max_deactivated=0)) == (0, 1, 0, 1, 0)
    assert (await empty.get("Organization/o0"))["active"] is True
    assert numbers(await empty.run(Fake([], south), max_deactivated=100)) == (0, 0, 1, 0, 0)


LINE = Refused(Place("f", 7), "est fausse", "corrigez-la")
KNOWN = Refused(Place("f", 7), "est fausse", "corrigez-la", (Key("Organization", "o0"),))


@pytest.mark.parametrize(("refused", "gone", "held_back"), [(LINE, 0, 2), (KNOWN, 1, 0)])
async def test_a_refused_line_refuses_all_or_is_left_out(
    refused: Refused, gone: int, held_back: int, empty: World
) -> None:
    await empty.run(Fake(many(4)))
    head = await empty.head()
    with pytest.raises(LinesRefused, match=r"^1 refus ; rien n'a été écrit\..* le reste avec --partial\.$"):
        await empty.run(Fake([*many(4)[2:], refused, organization("new", "Nouveau")]))
    with pytest.raises(LinesRefused, match=r"^1 refus ; rien n'a été écrit\. Corrigez le fichier\.$"):
        await empty.run(Fake([refused]))
    assert await empty.head() == head
    wanted: Sequence[Wanted | Refused] = [*many(4)[2:], refused, organization("new", "Nouveau")]
    told = await empty.run(Fake(wanted), partial=True, max_deactivated=100)
    assert (told.refused, told.counts.created, told.counts.deactivated, told.held_back) == (1, 1, gone, held_back)
    assert (await empty.get("Organization/o0"))["active"] is True


async def test_what_depends_on_a_refused_resource_is_refused_too(empty: World) -> None:
    wrong = person("p", IDNPS, birthDate="hier")
    told = await empty.run(Fake([wrong, organization("o", "CPTS"), role("r", "p", "o")]), partial=True)
    assert (told.refused, numbers(told)) == (2, (1, 0, 0, 0, 0))
    assert "Practitioner.birthDate" in empty.told[0]
    assert "dépend d'une ressource refusée" in empty.told[1]


async def test_a_change_by_another_meanwhile_stops_the_import_with_a_sentence(
    empty: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await empty.run(Fake(many(CHUNK + 1)))
    put = Service.perform

    async def meddling(service: Service, request: Request) -> object:
        if request.method == "POST":
            monkeypatch.setattr(Service, "perform", put)
            last = await empty.get(f"Organization/o{CHUNK}")
            await empty.put({**last, "name": "Changé par un client"})
        return await put(service, request)

    monkeypatch.setattr(Service, "perform", meddling)
    with pytest.raises(
        CommandFailed, match=r"^Le serveur a refusé une écriture : Organization/o\d+ .*Écrit : \d+ ; reste"
    ):
        await empty.run(Fake(many(CHUNK + 1, "Autre")))
    told = await empty.run(Fake(many(CHUNK + 1, "Autre")))
    assert told.counts.updated + told.counts.unchanged == CHUNK + 1
    assert (await empty.get(f"Organization/o{CHUNK}"))["name"] == f"Autre {CHUNK}"


async def test_what_another_created_meanwhile_is_not_written_over(
    empty: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Service.perform

    async def meddling(service: Service, request: Request) -> object:
        if request.method == "POST":
            monkeypatch.setattr(Service, "perform", put)
            await empty.put({"resourceType": "Organization", "id": "o0", "name": "Écrit par un client"})
        return await put(service, request)

    monkeypatch.setattr(Service, "perform", meddling)
    with pytest.raises(
        CommandFailed, match=r"^Le serveur a refusé une écriture : Organization/o0 .*Écrit : 0 ; reste : 2"
    ):
        await empty.run(Fake(many(2)))
    assert numbers(await empty.run(Fake(many(2)))) == (1, 0, 0, 0, 1)
    assert (await empty.get("Organization/o0"))["name"] == "Écrit par un client"


async def test_a_run_that_was_interrupted_says_what_was_written(empty: World, monkeypatch: pytest.MonkeyPatch) -> None:
    put = Service.perform
    posts = 0

    async def dying(service: Service, request: Request) -> object:
        nonlocal posts
        posts += request.method == "POST"
        if posts == 2:
            raise KeyboardInterrupt
        return await put(service, request)

    monkeypatch.setattr(Service, "perform", dying)
    with pytest.raises(KeyboardInterrupt):
        await empty.run(Fake(many(CHUNK + 5)))
    monkeypatch.setattr(Service, "perform", put)
    told = await empty.run(Fake(many(CHUNK + 5)))
    assert (told.resumed, numbers(told)) == (CHUNK, (5, 0, 0, CHUNK, 0))


async def test_one_key_described_twice_otherwise_is_refused(empty: World) -> None:
    with pytest.raises(LinesRefused):
        await empty.run(Fake([organization("o", "Un"), organization("o", "Deux")]))
    assert "Organization/o est déjà décrit autrement (f:1)" in empty.told[0]
    assert numbers(await empty.run(Fake([organization("o", "Un"), organization("o", "Un")]))) == (1, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("system", "value"), [("https://rpps.esante.gouv.fr", IDNPS[1:]), ("http://rpps.esante.gouv.fr", IDNPS[1:])]
)
async def test_a_person_is_the_same_under_another_spelling_of_the_number(system: str, value: str, empty: World) -> None:
    identifier = [{"system": system, "value": value}]
    await empty.put({"resourceType": "Practitioner", "id": "client", "identifier": identifier})
    assert numbers(await empty.run(Fake([person("p", IDNPS)]))) == (0, 0, 0, 0, 1)


async def test_the_account_of_a_regulator_is_not_the_professional(empty: World) -> None:
    account = {
        **person("account", IDNPS, name=[{"family": "FICTIF", "given": ["Alice"]}]).resource,
        "meta": {"source": "urn:oid:1.2.250.1.213.3.6"},
        "telecom": [{"system": "email", "value": "alice@example.org"}],
    }
    typed = {"coding": [{"system": "http://interopsante.org/fhir/CodeSystem/fr-v2-0203", "code": "IDNPS"}]}
    await empty.put({**account, "identifier": [{**account["identifier"][0], "type": typed}]})
    assert numbers(await empty.run(Fake([person("p", IDNPS)]))) == (1, 0, 0, 0, 0)


def numbered(id_: str, *numbers_: str) -> Wanted:
    identifier = [{"system": "https://sirene.fr", "value": number} for number in numbers_]
    return organization(id_, id_, identifier=identifier)


async def test_one_number_of_two_structures_is_refused_before_anything_is_written(empty: World) -> None:
    with pytest.raises(LinesRefused):
        await empty.run(Fake([numbered("a", "99999901400015"), numbered("b", "99999901400015", "999999014")]))
    assert empty.told == ["f:1 : a un numéro qui est aussi celui de a. Remède : signalez-le au registre."]
    await empty.run(Fake([numbered("a", "99999901400015", "999999014"), numbered("b", "999999014")]))
    head = await empty.head()
    with pytest.raises(LinesRefused):
        await empty.run(Fake([organization("a", "Un"), numbered("b", "99999901400015")], CPTS), partial=False)
    assert await empty.head() == head


async def test_what_a_client_has_added_is_no_change_and_stays(empty: World) -> None:
    await empty.run(Fake(many(2)))
    found = await empty.get("Organization/o1")
    meta = {**found["meta"], "security": [{"system": "https://example.org/labels", "code": "R"}]}
    await empty.put({**found, "meta": meta})
    head = await empty.head()
    assert numbers(await empty.run(Fake(many(2)), "again")) == (0, 0, 0, 2, 0)
    assert await empty.head() == head
    assert numbers(await empty.run(Fake(many(2, "Autre")), "again")) == (0, 2, 0, 0, 0)
    assert (await empty.get("Organization/o1"))["meta"]["security"] == meta["security"]


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[Key]:
    """What was checked and indexed, in order."""
    found: list[Key] = []

    def counting(tools: Tools, raw: Raw) -> Ready:
        found.append(raw.key)
        return draft.prepared(tools, raw)

    monkeypatch.setattr("fhir_server.interactions.preparing.prepared", counting)
    return found


async def test_what_changes_is_checked_once_and_what_is_the_same_not_at_all(empty: World, prepared: list[Key]) -> None:
    await empty.run(Fake(many(2 * CHUNK)))
    assert len(prepared) == 2 * CHUNK
    await empty.run(Fake(many(2 * CHUNK)), "again")
    assert len(prepared) == 2 * CHUNK
    await empty.run(Fake(many(2 * CHUNK - 1)), "third")
    assert prepared[2 * CHUNK :] == [Key("Organization", f"o{2 * CHUNK - 1}")]


async def test_what_was_checked_under_other_definitions_is_checked_again(
    empty: World, prepared: list[Key], monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Service.perform

    async def meddling(service: Service, request: Request) -> object:
        if request.method == "POST":
            monkeypatch.setattr(Service, "perform", put)
            await empty.put(PARAMETER)
        return await put(service, request)

    monkeypatch.setattr(Service, "perform", meddling)
    assert numbers(await empty.run(Fake(many(3)))) == (3, 0, 0, 0, 0)
    organizations = [key for key in prepared if key.type == "Organization"]
    assert len(organizations) == 6
    assert await empty.ids("Organization", "nickname=Cabinet") == ["o0", "o1", "o2"]
