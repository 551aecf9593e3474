"""The terminology operations over HTTP, on each engine. https://hl7.org/fhir/R4/terminology-service.html"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.rest.asking import expressions, refused
from tests.terminology.loading import (
    BASE,
    CARE,
    FLAT,
    OTHERS,
    SYSTEM,
    Json,
    code_system,
    concept,
    url,
    value_set,
    where,
)

AID = value_set("aid", where("concept", "is-a", "first-aid"))
MAP: Json = {
    "resourceType": "ConceptMap",
    "url": f"{BASE}/ConceptMap/care",
    "status": "active",
    "group": [
        {
            "source": CARE,
            "target": FLAT,
            "element": [{"code": "burn", "target": [{"code": "b", "equivalence": "equal"}]}],
        }
    ],
}


@pytest.fixture
async def loaded(http: httpx.AsyncClient) -> httpx.AsyncClient:
    resources = {"care": SYSTEM, "flat": OTHERS[0], "partial": OTHERS[1], "empty": OTHERS[2], "aid": AID, "map": MAP}
    for id_, resource in resources.items():
        answer = await http.put(f"{resource['resourceType']}/{id_}", json={**resource, "id": id_})
        assert answer.status_code == 201, answer.text
    return http


def codes(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["code"] for one in answer.json()["expansion"].get("contains", ())]


def told(answer: httpx.Response) -> dict[str, Any]:
    """Return the parameters of an answer by their names; of several the last."""
    assert answer.status_code == 200, answer.text
    return {
        one["name"]: next((value for name, value in one.items() if name.startswith("value")), one.get("part"))
        for one in answer.json()["parameter"]
    }


def given(*parameters: Json) -> Json:
    return {"resourceType": "Parameters", "parameter": list(parameters)}


# --- $expand ---------------------------------------------------------------------------------------------------------


async def test_value_set_is_expanded_by_url_by_id_and_as_sent(loaded: httpx.AsyncClient) -> None:
    for answer in (
        await loaded.get("ValueSet/$expand", params={"url": url("aid")}),
        await loaded.get("ValueSet/aid/$expand"),
        await loaded.post("ValueSet/$expand", json=AID),
        await loaded.post("ValueSet/$expand", json=given({"name": "valueSet", "resource": AID})),
        await loaded.post("ValueSet/$expand", json=given({"name": "url", "valueUri": url("aid")})),
    ):
        assert codes(answer) == ["first-aid", "burn", "wound"]
        expansion = answer.json()["expansion"]
        assert expansion["total"] == 3
        assert {"name": "used-codesystem", "valueUri": f"{CARE}|2"} in expansion["parameter"]


async def test_expansion_is_paged_filtered_and_told_in_a_language(loaded: httpx.AsyncClient) -> None:
    pages = [await loaded.get("ValueSet/aid/$expand", params={"offset": at, "count": 2}) for at in (0, 2, 4)]
    assert [codes(page) for page in pages] == [["first-aid", "burn"], ["wound"], []]
    assert [page.json()["expansion"]["total"] for page in pages] == [3, 3, 3]
    query = {"filter": "brulure", "displayLanguage": "fr", "includeDesignations": "true"}
    answer = await loaded.get("ValueSet/aid/$expand", params=query)
    (burn,) = answer.json()["expansion"]["contains"]
    assert (burn["display"], len(burn["designation"])) == ("Brûlure", 2)
    told = answer.json()["expansion"]["parameter"]
    assert {"name": "displayLanguage", "valueCode": "fr"} in told
    assert {"name": "includeDesignations", "valueBoolean": True} in told
    assert "compose" not in answer.json()
    assert "compose" in (await loaded.get("ValueSet/aid/$expand?includeDefinition=true")).json()


async def test_changed_code_system_changes_the_expansion(loaded: httpx.AsyncClient) -> None:
    query = {"url": f"{FLAT}?fhir_vs"}
    assert codes(await loaded.get("ValueSet/$expand", params=query)) == ["a", "b", "c"]
    changed = {**OTHERS[0], "id": "flat", "concept": [{"code": "d"}]}
    assert (await loaded.put("CodeSystem/flat", json=changed)).status_code == 200
    assert codes(await loaded.get("ValueSet/$expand", params=query)) == ["d"]
    assert (await loaded.delete("CodeSystem/flat")).status_code == 204
    refused(await loaded.get("ValueSet/$expand", params=query), 404, "terminology-unknown")


async def test_expansion_of_too_much_is_refused_and_paged(
    loaded: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_server.operations.expand.PAGE", 2)
    refused(await loaded.get("ValueSet/aid/$expand"), 400, "terminology-too-costly")
    assert codes(await loaded.get("ValueSet/aid/$expand?count=5")) == ["first-aid", "burn"]
    assert codes(await loaded.get("ValueSet/aid/$expand?offset=1")) == ["burn", "wound"]


@pytest.mark.parametrize(
    ("path", "status", "id_"),
    [
        ("ValueSet/$expand", 400, "operation-parameters"),
        (f"ValueSet/$expand?url={BASE}/none", 404, "terminology-unknown"),
        ("ValueSet/none/$expand", 404, "resource-unknown"),
        ("ValueSet/aid/$expand?url=http://x", 400, "operation-parameter-unknown"),
        ("ValueSet/aid/$expand?count=-1", 400, "operation-parameter-value"),
        ("ValueSet/aid/$expand?date=2026", 400, "operation-parameter-unknown"),
        ("ValueSet/aid/$expand?system-version=urn:x", 400, "operation-parameter-value"),
        (f"ValueSet/$expand?url={BASE}/CodeSystem/empty?fhir_vs", 422, "code-system-content"),
        (f"ValueSet/aid/$expand?check-system-version={CARE}|1", 422, "terminology-unknown"),
    ],
)
async def test_expansion_that_cannot_be_is_refused(loaded: httpx.AsyncClient, path: str, status: int, id_: str) -> None:
    refused(await loaded.get(path), status, id_)


async def test_value_set_that_is_sent_must_be_valid(loaded: httpx.AsyncClient) -> None:
    bad = {"resourceType": "ValueSet", "status": "activ", "compose": {"include": [{"system": CARE}]}}
    answer = await loaded.post("ValueSet/$expand", json=bad)
    refused(answer, 400, "code-required")
    assert expressions(answer) == ["ValueSet.status"]
    answer = await loaded.post("ValueSet/$expand", json=given({"name": "valueSet", "resource": bad}))
    assert expressions(answer) == ["Parameters.parameter[0].resource.status"]


# --- codes -----------------------------------------------------------------------------------------------------------


async def test_code_is_validated_against_a_value_set(loaded: httpx.AsyncClient) -> None:
    query = {"url": url("aid"), "system": CARE, "code": "burn"}
    assert told(await loaded.get("ValueSet/$validate-code", params=query)) == {"result": True, "display": "Burn"}
    wrong = told(await loaded.get("ValueSet/$validate-code", params={**query, "display": "Wound"}))
    assert wrong["result"] is False
    assert "'Burn', not the one given" in wrong["message"]
    concept = {"coding": [{"system": CARE, "code": "advice"}, {"system": CARE, "code": "wound"}]}
    by_concept = given({"name": "codeableConcept", "valueCodeableConcept": concept})
    assert told(await loaded.post("ValueSet/aid/$validate-code", json=by_concept))["result"] is True
    both = given(
        {"name": "valueSet", "resource": AID}, {"name": "coding", "valueCoding": {"system": FLAT, "code": "a"}}
    )
    assert told(await loaded.post("ValueSet/$validate-code", json=both))["result"] is False


async def test_code_that_cannot_be_told_is_refused(loaded: httpx.AsyncClient) -> None:
    query = {"url": f"{BASE}/CodeSystem/partial", "code": "other"}
    refused(await loaded.get("CodeSystem/$validate-code", params=query), 422, "code-not-told")
    refused(await loaded.get("CodeSystem/$validate-code?code=a"), 400, "operation-parameters")
    refused(await loaded.get("CodeSystem/$validate-code?url=urn:x&code=a"), 404, "terminology-unknown")


async def test_code_is_validated_against_its_code_system(loaded: httpx.AsyncClient) -> None:
    assert told(await loaded.get(f"CodeSystem/$validate-code?url={CARE}&code=burn")) == {
        "result": True,
        "display": "Burn",
    }
    assert told(await loaded.get("CodeSystem/care/$validate-code?code=none"))["result"] is False
    coding = given({"name": "coding", "valueCoding": {"system": CARE, "version": "2", "code": "burn"}})
    assert told(await loaded.post("CodeSystem/$validate-code", json=coding))["result"] is True


async def test_code_is_looked_up(loaded: httpx.AsyncClient) -> None:
    found = told(await loaded.get(f"CodeSystem/$lookup?system={CARE}&code=burn&displayLanguage=fr&property=parent"))
    assert found["display"] == "Brûlure"
    assert found["property"] == [{"name": "code", "valueCode": "parent"}, {"name": "value", "valueCode": "first-aid"}]
    refused(await loaded.get(f"CodeSystem/$lookup?system={CARE}&code=none"), 404, "code-unknown")
    refused(await loaded.get("CodeSystem/$lookup?code=none"), 400, "operation-parameters")
    refused(
        await loaded.get(f"CodeSystem/$lookup?system={CARE}&code=burn&property=colour"), 422, "terminology-definition"
    )


async def test_codes_are_compared(loaded: httpx.AsyncClient) -> None:
    query = {"system": CARE, "codeA": "care", "codeB": "burn"}
    assert told(await loaded.get("CodeSystem/$subsumes", params=query)) == {"outcome": "subsumes"}
    assert told(await loaded.get("CodeSystem/care/$subsumes?codeA=burn&codeB=care")) == {"outcome": "subsumed-by"}
    codings = given(
        {"name": "codingA", "valueCoding": {"system": CARE, "code": "burn"}},
        {"name": "codingB", "valueCoding": {"system": FLAT, "code": "a"}},
    )
    refused(await loaded.post("CodeSystem/$subsumes", json=codings), 400, "operation-parameters")


async def test_codes_are_translated(loaded: httpx.AsyncClient) -> None:
    query = {"system": CARE, "code": "burn"}
    by_url = {**query, "url": MAP["url"]}
    for answer in (
        await loaded.get("ConceptMap/$translate", params=query),
        await loaded.get("ConceptMap/$translate", params=by_url),
        await loaded.get("ConceptMap/map/$translate", params=query),
    ):
        found = told(answer)
        assert found["result"] is True
        assert {"name": "concept", "valueCoding": {"system": FLAT, "code": "b"}} in found["match"]
    back = told(await loaded.get(f"ConceptMap/$translate?system={FLAT}&code=b&reverse=true"))
    assert {"name": "concept", "valueCoding": {"system": CARE, "code": "burn"}} in back["match"]
    none = told(await loaded.get(f"ConceptMap/$translate?system={FLAT}&code=b"))
    assert (none["result"], "message" in none) == (False, True)


# --- other spellings of a code system --------------------------------------------------------------------------------

TABLE = "https://mos.esante.gouv.fr/NOS/TRE_R999-Essai/FHIR/TRE-R999-Essai"
SPELLED = "http://mos.esante.gouv.fr/NOS/TRE_R999-Essai"


async def test_code_system_is_known_by_its_other_spellings_and_the_answer_says_which(loaded: httpx.AsyncClient) -> None:
    table = code_system(TABLE, concept("a", concept("b")), version="1", name="Essai")
    essai = {**value_set("essai", {"system": SPELLED}), "id": "essai"}
    table_map = {**MAP, "url": f"{BASE}/ConceptMap/essai", "group": [{**MAP["group"][0], "source": TABLE}]}
    await loaded.put("CodeSystem/essai", json={**table, "id": "essai"})
    await loaded.put("ValueSet/essai", json=essai)
    await loaded.put("ConceptMap/essai", json={**table_map, "id": "essai"})
    asked = {"system": SPELLED, "code": "b"}
    right = {"system": TABLE}
    found = told(await loaded.get("CodeSystem/$lookup", params=asked))
    assert found == told(await loaded.get("CodeSystem/$lookup", params={**asked, **right})) | right
    expected = right | {"result": True, "display": "B"}
    for answer in (
        await loaded.get("CodeSystem/$validate-code", params={"url": SPELLED, "code": "b"}),
        await loaded.get("ValueSet/$validate-code", params={"url": url("essai"), **asked}),
        await loaded.get("ValueSet/$validate-code", params={"url": f"{SPELLED}?fhir_vs", **asked}),
    ):
        assert told(answer) == expected
    of_two = given(
        {"name": "codingA", "valueCoding": {"system": TABLE, "code": "a"}},
        {"name": "codingB", "valueCoding": {"system": SPELLED, "code": "b"}},
    )
    assert told(await loaded.post("CodeSystem/$subsumes", json=of_two)) == right | {"outcome": "subsumes"}
    translated = await loaded.get("ConceptMap/$translate", params={"system": SPELLED, "code": "burn"})
    assert (told(translated)["result"], told(translated)["system"]) == (True, TABLE)
    forced = {"url": url("essai"), "force-system-version": f"{SPELLED}|2"}
    refused(await loaded.get("ValueSet/$expand", params=forced), 422, "terminology-unknown")
    assert codes(await loaded.get("ValueSet/$expand", params={"url": url("essai")})) == ["a", "b"]
    await loaded.post("HealthcareService", json={"resourceType": "HealthcareService", "type": [{"coding": [asked]}]})
    for modifier, total in (("in", 1), ("not-in", 0)):
        answer = await loaded.get("HealthcareService", params={f"service-type:{modifier}": url("essai")})
        assert answer.json()["total"] == total
