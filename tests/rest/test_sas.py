"""The base path that the SAS platform calls; rows are those of the exchange that an ordinary server does not do.

Source: https://interop.esante.gouv.fr/ig/fhir/sas/
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fhir_server.france import vocabulary
from fhir_server.france.sas import profiles
from tests.rest.asking import BASE, Json, bundle, entry, refused
from tests.rest.conftest import Serve, Server

SAS = "http://127.0.0.1:8080/sas"
IDNPS, IDNST = "urn:oid:1.2.250.1.71.4.2.1", "urn:oid:1.2.250.1.71.4.2.2"
LABELS = "https://mos.esante.gouv.fr/NOS/TRE_R314-TypeCreneau/FHIR/TRE-R314-TypeCreneau"
CATEGORIES = "https://mos.esante.gouv.fr/NOS/TRE_R66-CategorieEtablissement/FHIR/TRE-R66-CategorieEtablissement"
WINDOW = "start=ge2026-01-05T08:00:00.000%2B01:00&start=le2026-01-07T23:59:59.000%2B01:00"
WHO = f"schedule.actor:Practitioner.identifier={IDNPS}%7C899700990015"
INT_R01 = f"Slot?_include=Slot:schedule&_include:iterate=Schedule:actor&{WINDOW}&{WHO}&status=free"
INT_R04 = f"{INT_R01}&_include=Slot:service-type-reference&_include:iterate=HealthcareService:organization"
SIRET = "399999901400015"
SOS = (
    "Schedule?_revinclude=Slot:schedule&_include=Schedule:actor:Location&_include:iterate=Location:organization"
    "&_has:Slot:schedule:start=ge2026-01-05T08:00:00.000%2B01:00"
    "&_has:Slot:schedule:start=le2026-01-05T12:00:00.000%2B01:00&_has:Slot:schedule:status=free"
    f"&actor:Location.organization.identifier={IDNST}%7C{SIRET}"
)


def ref(text: str) -> Json:
    return {"reference": text}


def slot(id_: str, schedule: str, start: str, status: str = "free", seen_by: tuple[str, ...] = (), **more: Any) -> Json:
    """A slot of twenty minutes on a day of January 2026; ``start`` is ``05T09:00``."""
    profile = (
        profiles.CPTS_SLOT if seen_by else profiles.SOS_SLOT if schedule in {"sos", "annexe"} else profiles.PLAIN_SLOT
    )
    service = [
        {
            "coding": [{"system": CATEGORIES, "code": "604"}],
            "extension": [{"url": profiles.R5_SERVICE_TYPE, "valueReference": ref(f"HealthcareService/{one}")}],
        }
        for one in seen_by
    ]
    mode = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}]}
    return {
        "resourceType": "Slot",
        "id": id_,
        "meta": {"profile": [profile], "security": [{"system": LABELS, "code": "SNP"}]},
        "serviceType": [mode, *service],
        "schedule": ref(f"Schedule/{schedule}"),
        "status": status,
        "start": f"2026-01-{start}:00.000+01:00",
        "end": f"2026-01-{start[:-2]}59:00.000+01:00",
        **more,
    }


def agenda(id_: str, *actors: str) -> Json:
    return {"resourceType": "Schedule", "id": id_, "actor": [ref(actor) for actor in actors]}


ROSTER: list[Json] = [
    {
        "resourceType": "Practitioner",
        "id": "alice",
        "identifier": [{"system": IDNPS, "value": "899700990015"}],
        "active": True,
        "name": [{"family": "Fictive", "given": ["Alice"]}],
    },
    *(
        {
            "resourceType": "PractitionerRole",
            "id": f"alice-{n}",
            "contained": [{"resourceType": "Location", "id": "lieu", "address": {"city": f"Ville {n}"}}],
            "practitioner": ref("Practitioner/alice"),
            "organization": {"identifier": {"system": IDNST, "value": f"49970099001500{n}"}},
            "location": [ref("#lieu")],
        }
        for n in (1, 2)
    ),
    *(agenda(f"alice-{n}", "Practitioner/alice", f"PractitionerRole/alice-{n}") for n in (1, 2)),
    *(
        {"resourceType": "HealthcareService", "id": f"snp-{n}", "providedBy": ref(f"Organization/cpts-{n}")}
        for n in (1, 2, 3)
    ),
    *(
        {
            "resourceType": "Organization",
            "id": f"cpts-{n}",
            "identifier": [{"system": IDNST, "value": f"125999901{n}"}],
            "name": f"CPTS fictive {n}",
        }
        for n in (1, 2, 3)
    ),
    {
        "resourceType": "Organization",
        "id": "sos",
        "identifier": [{"system": IDNST, "value": SIRET}],
        "name": "SOS fictif",
    },
    {"resourceType": "Location", "id": "centre", "name": "Centre", "managingOrganization": ref("Organization/sos")},
    {"resourceType": "Location", "id": "annexe", "name": "Annexe", "managingOrganization": ref("Organization/sos")},
    agenda("sos", "Location/centre"),
    agenda("annexe", "Location/annexe"),
]

SLOTS: list[Json] = [
    slot("plain", "alice-1", "05T09:00", comment="https://agenda.example.org/alice"),
    slot("shared", "alice-1", "05T09:20", seen_by=("snp-1", "snp-2")),
    slot("second-place", "alice-2", "06T09:00"),
    slot("taken", "alice-1", "05T10:00", status="busy", seen_by=("snp-3",)),
    slot("late", "alice-1", "09T09:00", seen_by=("snp-3",)),
    slot("sos-fits", "sos", "05T09:00"),
    slot("sos-busy", "sos", "05T09:30", status="busy"),
    slot("sos-late", "sos", "05T13:00"),
    slot("annexe-busy", "annexe", "05T09:00", status="busy"),
    slot("annexe-late", "annexe", "06T09:00"),
]


async def loaded(server: Server) -> httpx.AsyncClient:
    """Return a client of the SAS base path, over a server that holds the resources above."""
    entries = [entry("PUT", f"{one['resourceType']}/{one['id']}", one) for one in (*ROSTER, *SLOTS)]
    answer = await server.http.post("", json=bundle("transaction", *entries))
    assert answer.status_code == 200, answer.text
    server.http.base_url = httpx.URL(f"{SAS}/")
    return server.http


@pytest.fixture
async def sas(server: Server) -> httpx.AsyncClient:
    return await loaded(server)


async def asked(http: httpx.AsyncClient, url: str) -> Json:
    answer = await http.get(url, headers={"Accept": "application/json+fhir"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/fhir+json")
    page: Json = answer.json()
    return page


def kinds(page: Json, mode: str) -> list[str]:
    """Return ``Type/id`` of the entries of a mode."""
    found = [one["resource"] for one in page.get("entry", ()) if one["search"]["mode"] == mode]
    return sorted(f"{one['resourceType']}/{one['id']}" for one in found)


async def test_int_r01_finds_the_free_slots_of_the_window_at_each_place(sas: httpx.AsyncClient) -> None:
    page = await asked(sas, INT_R01)
    assert kinds(page, "match") == ["Slot/plain", "Slot/second-place", "Slot/shared"]
    roles = ["PractitionerRole/alice-1", "PractitionerRole/alice-2", "Schedule/alice-1", "Schedule/alice-2"]
    assert kinds(page, "include") == ["Practitioner/alice", *roles]
    assert page["total"] == 3
    assert all(one["fullUrl"].startswith(f"{SAS}/") for one in page["entry"])


async def test_row_14_int_r04_brings_the_cpts_that_see_a_match_and_no_other(sas: httpx.AsyncClient) -> None:
    page = await asked(sas, INT_R04)
    services = ["HealthcareService/snp-1", "HealthcareService/snp-2", "Organization/cpts-1", "Organization/cpts-2"]
    assert [one for one in kinds(page, "include") if not one.startswith(("Pra", "Sch"))] == services
    profile = {one["resource"]["id"]: one["resource"]["meta"]["profile"] for one in page["entry"]}
    assert (profile["plain"], profile["shared"]) == ([profiles.PLAIN_SLOT], [profiles.CPTS_SLOT])


async def test_place_that_takes_part_in_a_professionals_agenda_is_no_place_of_sos(sas: httpx.AsyncClient) -> None:
    before = await asked(sas, INT_R01)
    body = agenda("alice-1", "Practitioner/alice", "PractitionerRole/alice-1", "Location/annexe")
    assert (await sas.put(f"{BASE}/Schedule/alice-1", json=body)).status_code == 200
    page = await asked(sas, INT_R01)
    assert kinds(page, "include") == kinds(before, "include")
    (told,) = [one for one in (row["resource"] for row in page["entry"]) if one["id"] == "alice-1" and "actor" in one]
    assert told["meta"]["profile"] == [profiles.SCHEDULE]
    assert told["actor"] == [ref("Practitioner/alice"), ref("PractitionerRole/alice-1")]
    assert "Location/centre" in kinds(await asked(sas, SOS), "include")
    page = await asked(sas, "Organization?_id=sos&_revinclude=Location:organization")
    assert kinds(page, "include") == ["Location/annexe", "Location/centre"]


async def test_row_2_sos_brings_the_slots_that_fit_and_no_agenda_without_one(sas: httpx.AsyncClient) -> None:
    page = await asked(sas, SOS)
    assert kinds(page, "match") == ["Schedule/sos"]
    assert kinds(page, "include") == ["Location/centre", "Organization/sos", "Slot/sos-fits"]
    assert page["total"] == 1


async def test_sos_on_the_ordinary_base_path_is_plain_fhir(sas: httpx.AsyncClient, server: Server) -> None:
    page = (await sas.get(f"http://127.0.0.1:8080/fhir/{SOS}")).json()
    assert kinds(page, "match") == ["Schedule/annexe", "Schedule/sos"]
    assert "Slot/sos-late" in kinds(page, "include")


async def test_row_3_one_page_whatever_the_count(sas: httpx.AsyncClient) -> None:
    for query in (f"{INT_R01}&_count=1", f"{INT_R01}&_count=1000", INT_R01):
        page = await asked(sas, query)
        assert len(kinds(page, "match")) == page["total"] == 3
        said = query.replace("%7C", "|")
        assert page["link"] == [{"relation": "self", "url": f"{SAS}/{said}"}]  # row 4


async def test_no_match_is_an_empty_searchset(sas: httpx.AsyncClient) -> None:
    for query in ("Slot?start=ge2030-01-01&status=free", SOS.replace("2026-01-05", "2025-01-05")):
        page = await asked(sas, query)
        assert (page["type"], page["total"], "entry" in page) == ("searchset", 0, False)
    inverted = "start=ge2026-01-07&start=le2026-01-05"
    assert (await asked(sas, f"Slot?{inverted}&status=free"))["total"] == 0


async def test_row_5_bounds_without_offset_are_paris_time_and_a_plus_may_be_bare(sas: httpx.AsyncClient) -> None:
    exactly = "start=ge{0}&start=le{0}&status=free&" + WHO
    for bound in ("2026-01-05T09:00:00.000", "2026-01-05T09:00:00.000+01:00", "2026-01-05T08:00:00.000+00:00"):
        assert kinds(await asked(sas, "Slot?" + exactly.format(bound)), "match") == ["Slot/plain"], bound
    assert (await asked(sas, "Slot?" + exactly.format("2026-01-05T09:00:00.000%2B00:00")))["total"] == 0


async def test_row_5_local_time_reads_a_zero_offset_as_paris_time(serve: Serve) -> None:
    async with serve(sas_paths=("/sas;time=local",)) as server:
        http = await loaded(server)
        bound = "2026-01-05T09:00:00.000%2B00:00"
        page = await asked(http, f"Slot?start=ge{bound}&start=le{bound}&status=free")
        assert kinds(page, "match") == ["Slot/plain", "Slot/sos-fits"]
        assert page["link"][0]["url"].count("%2B00:00") == 2


async def test_search_by_post_is_the_same(sas: httpx.AsyncClient) -> None:
    data = {"status": "free", "schedule.actor:Practitioner.identifier": f"{IDNPS}|899700990015"}
    answer = await sas.post("Slot/_search", data=data)
    assert answer.json()["total"] == 4
    said = f"{SAS}/Slot?status=free&schedule.actor:Practitioner.identifier={IDNPS}|899700990015"
    assert answer.json()["link"] == [{"relation": "self", "url": said}]


async def test_slot_comes_back_as_it_is_stored(sas: httpx.AsyncClient) -> None:
    stored = (await sas.get("http://127.0.0.1:8080/fhir/Slot/plain")).content
    assert (await sas.get("Slot/plain")).content == stored
    assert stored in (await sas.get(INT_R01)).content


async def test_row_12_labels_are_replaced_and_instants_stay_as_written(sas: httpx.AsyncClient) -> None:
    before = SLOTS[0]
    labels = [{"system": LABELS, "code": "PRO"}]
    after = {**before, "meta": {**before["meta"], "security": labels}, "end": "2026-01-05T09:40:00.120+01:00"}
    assert (await sas.put(f"{BASE}/Slot/plain", json=after)).status_code == 200
    seen = (await sas.get("Slot/plain")).json()
    assert seen["meta"]["security"] == labels
    assert (seen["start"], seen["end"]) == (before["start"], after["end"])


async def test_row_13_everything_has_one_profile_even_if_more_are_stored(sas: httpx.AsyncClient) -> None:
    more = {"profile": ["https://example.org/p", profiles.PRACTITIONER]}
    assert (await sas.put(f"{BASE}/Practitioner/alice", json={**ROSTER[0], "meta": more})).status_code == 200
    for query in (INT_R01, INT_R04, SOS):
        page = await asked(sas, query)
        assert page["entry"]
        assert all(len(one["resource"]["meta"]["profile"]) == 1 for one in page["entry"])


async def test_read_renders_and_follows_changes(sas: httpx.AsyncClient) -> None:
    first = (await sas.get("Practitioner/alice")).json()
    assert first["identifier"][0]["type"]["coding"][0]["code"] == "IDNPS"
    changed = {**ROSTER[0], "name": [{"family": "Autre"}]}
    assert (await sas.put("http://127.0.0.1:8080/fhir/Practitioner/alice", json=changed)).status_code == 200
    answer = await sas.get("Practitioner/alice")
    assert (answer.json()["name"], answer.headers["etag"]) == ([{"family": "Autre"}], 'W/"2"')
    assert answer.json()["meta"]["profile"] == [profiles.PRACTITIONER]


async def test_role_follows_the_place_that_it_takes_in(sas: httpx.AsyncClient) -> None:
    base = "http://127.0.0.1:8080/fhir"
    role = {"resourceType": "PractitionerRole", "id": "alice-1", "practitioner": ref("Practitioner/alice")}
    await sas.put(f"{base}/PractitionerRole/alice-1", json={**role, "location": [ref("Location/annexe")]})
    for name in ("Annexe", "Annexe", "Ailleurs"):
        place = {"resourceType": "Location", "id": "annexe", "name": name}
        await sas.put(f"{base}/Location/annexe", json=place)
        page = await asked(sas, INT_R01)
        (seen,) = (
            one["resource"]
            for one in page["entry"]
            if one["resource"]["id"] == "alice-1" and "contained" in one["resource"]
        )
        assert seen["contained"][0]["name"] == name


NOT_HERE = [
    ("DELETE", "Slot/plain", "GET, HEAD, OPTIONS"),
    ("POST", "Slot", "GET, HEAD, OPTIONS"),
    ("PATCH", "Practitioner/alice", "GET, HEAD, OPTIONS, PUT"),
    ("GET", "Patient", "OPTIONS"),
    ("GET", "Slot/plain/_history", "OPTIONS"),
    ("POST", "", "OPTIONS"),
    ("POST", "Appointment", "OPTIONS"),
]


async def test_what_no_actor_does_is_405(server: Server) -> None:
    for method, path, allow in NOT_HERE:
        answer = await server.http.request(method, f"{SAS}/{path}", json={})
        refused(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == allow
        assert (await server.http.options(f"{SAS}/{path}")).headers["allow"] == allow


async def test_capabilities_are_those_of_the_actors(server: Server) -> None:
    told = (await server.http.get(f"{SAS}/metadata")).json()
    issues = [issue for issue in server.service.context.validator.validate(told) if issue.is_error]
    assert issues == []
    done = {one["type"]: [part["code"] for part in one["interaction"]] for one in told["rest"][0]["resource"]}
    reading = ["read", "search-type"]
    agenda = dict.fromkeys(("Location", "Organization", "Schedule", "Slot"), reading)
    assert done == {**agenda, "Practitioner": [*reading, "create", "update"]}
    assert told["url"] == f"{SAS}/metadata"
    assert (await server.http.get(f"{SAS}/metadata?mode=normative")).status_code == 200
    refused(await server.http.get(f"{SAS}/metadata?mode=terminology"), 400, "parameter-value")


MISTAKES = [
    ("Slot?status=bogus", "search-code"),
    ("Slot?start=ge2026-13-01", "search-value"),
    (f"Practitioner?identifier={IDNPS}|12", "sas-identifier-form"),
    ("Slot?nonsense=1", "search-parameter-unknown"),
    ("Slot?status=free&_summary=count", "sas-parameter"),
    ("Slot?_revinclude=Appointment:slot", "sas-type"),
    ("Slot?_has:Appointment:slot:status=booked", "sas-type"),
    ("Schedule?actor:Patient.name=a", "sas-type"),
    ("Schedule?_has:Slot:schedule:_has:Appointment:slot:status=booked", "sas-type"),
    (f"Practitioner?identifier={','.join([IDNPS + '|899700990015'] * 101)}", "sas-identifiers"),
]


async def test_mistake_is_400_with_the_reason(server: Server) -> None:
    for query, id_ in MISTAKES:
        refused(await server.http.get(f"{SAS}/{query}"), 400, id_)


async def test_nothing_is_ignored_although_the_client_asks_for_it(sas: httpx.AsyncClient) -> None:
    answer = await sas.get("Slot?nonsense=1", headers={"Prefer": "handling=lenient"})
    refused(answer, 400, "search-parameter-unknown")


async def test_update_by_criteria_of_another_type_is_400(sas: httpx.AsyncClient) -> None:
    put = await sas.put(f"{SAS}/Practitioner?_has:Appointment:actor:status=booked", json={})
    refused(put, 400, "sas-type")
    post = await sas.post(
        f"{SAS}/Practitioner", json={}, headers={"If-None-Exist": "_has:Appointment:actor:status=booked"}
    )
    refused(post, 400, "sas-type")


async def test_nobody_who_takes_a_slot_rides_along(sas: httpx.AsyncClient) -> None:
    written: list[Json] = [
        {"resourceType": "Patient", "id": "p"},
        {
            "resourceType": "Appointment",
            "id": "a",
            "status": "booked",
            "slot": [ref("Slot/plain")],
            "start": "2026-01-05T09:00:00+01:00",
            "end": "2026-01-05T09:20:00+01:00",
            "participant": [{"actor": ref("Patient/p"), "status": "accepted"}],
        },
        {"resourceType": "Schedule", "id": "care", "actor": [ref("Patient/p")]},
    ]
    for resource in written:
        url = f"{BASE}/{resource['resourceType']}/{resource['id']}"
        answer = await sas.put(url, json=resource)
        assert answer.status_code == 201
    for query in ("Slot?_id=plain&_revinclude=*", "Schedule?_id=care&_include=Schedule:actor"):
        page = await asked(sas, query)
        assert page["total"] == 1
        assert not {"Appointment", "Patient"} & {one["resource"]["resourceType"] for one in page["entry"]}


async def test_a_hundred_identifiers_are_answered(sas: httpx.AsyncClient) -> None:
    many = ",".join(f"{IDNPS}|8997009{n:05d}" for n in [90015, *range(99)])
    assert (await asked(sas, f"Slot?schedule.actor:Practitioner.identifier={many}&status=free"))["total"] == 4


async def test_more_matches_than_one_page_may_hold_is_422(serve: Serve) -> None:
    async with serve(sas_results=2) as server:
        http = await loaded(server)
        refused(await http.get(INT_R01), 422, "sas-results")
        assert (await asked(http, f"Slot?_id=plain,shared&{WINDOW}"))["total"] == 2


async def test_each_path_has_its_actors_and_its_guide(serve: Serve) -> None:
    paths = ("/sas;guide=1.1.0;actors=sos+psindiv", "/sas/cpts;actors=cpts")
    async with serve(sas_paths=paths) as server:
        http = await loaded(server)
        organization = "Organization/cpts-1"
        (number,) = (await http.get(f"{SAS}/{organization}")).json()["identifier"]
        assert number["type"]["coding"][0]["system"] == vocabulary.PLACE_IDENTIFIER_TYPES_OLD
        assert (await http.get(f"{SAS}/cpts/{organization}")).status_code == 405
        url = f"{SAS}/cpts/Slot?{INT_R04.partition('?')[2]}"
        page = await asked(http, url)
        assert page["total"] == 3
        assert page["entry"][0]["fullUrl"].startswith(f"{SAS}/cpts/")
        assert (await http.post(f"{SAS}/Practitioner", json=ROSTER[0])).status_code == 405


async def test_url_of_a_path_is_written(serve: Serve) -> None:
    async with serve(sas_paths=("/sas;url=https://sas.example.org/editeur",)) as server:
        http = await loaded(server)
        page = await asked(http, "Slot?_id=plain")
        assert page["entry"][0]["fullUrl"] == "https://sas.example.org/editeur/Slot/plain"
        assert page["link"][0]["url"] == "https://sas.example.org/editeur/Slot?_id=plain"


async def test_row_7_conditional_update_ignores_the_id_of_the_body(sas: httpx.AsyncClient) -> None:
    kind = {"coding": [{"system": "http://interopsante.org/fhir/CodeSystem/fr-v2-0203", "code": "IDNPS"}]}
    account = {
        "resourceType": "Practitioner",
        "id": "another",
        "meta": {"source": "urn:oid:1.2.250.1.213.3.6"},
        "identifier": [{"type": kind, "system": IDNPS, "value": "899700990015"}],
        "active": True,
        "name": [{"family": "FICTIF", "given": ["Alix"]}],
        "telecom": [{"system": "email", "value": "alix@example.org"}],
    }
    id_ = (await sas.post("Practitioner", json=account)).json()["id"]
    for name in ("identifier", "Identifier"):
        answer = await sas.put(f"Practitioner?{name}={IDNPS}|899700990015&_format=json", json=account)
        assert (answer.status_code, answer.json()["id"]) == (200, id_)
        assert answer.headers["location"].startswith(f"{SAS}/Practitioner/{id_}")  # row 8
    new = {**account, "identifier": [{"type": kind, "system": IDNPS, "value": "899700990023"}]}
    answer = await sas.put(f"Practitioner?identifier={IDNPS}|899700990023", json=new)
    assert answer.status_code == 201
    assert answer.json()["id"] != "another"
