"""Fields of a regulator's account (facts §10 row 9), and which account an update means (rows 10 and 11)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.france.aliases import system_speller
from fhir_server.france.regulators import ACCOUNT_SYSTEM, AccountChecks, meant
from fhir_server.model.formats import serialize
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.storage.protocol import Address, Stored

CHECK = AccountChecks(system_speller())
OLD_TYPES = "http://interopsante.org/fhir/CodeSystem/fr-v2-0203"
IDNPS = "urn:oid:1.2.250.1.71.4.2.1"
REGUL = "https://interop.esante.gouv.fr/ig/fhir/sas/StructureDefinition/FrPractitionerRegul"
UUID = "1ef1c748-01a3-6180-b098-73283ce4e5b1"

Json = dict[str, Any]


def identifier(system: str = ACCOUNT_SYSTEM, code: str = "INTRN", value: str = UUID) -> Json:
    return {"type": {"coding": [{"system": OLD_TYPES, "code": code}]}, "system": system, "value": value}


def account(**more: Any) -> Json:
    """Return an account; a field given as None is left out."""
    body: Json = {
        "resourceType": "Practitioner",
        "meta": {"profile": [REGUL]},
        "identifier": [identifier()],
        "active": True,
        "name": [{"family": "FICTIF", "given": ["Alice"]}],
        "telecom": [{"system": "email", "value": "alice@example.org"}],
        **more,
    }
    return {name: value for name, value in body.items() if value is not None}


@pytest.mark.parametrize(
    "body",
    [
        account(),
        account(identifier=[identifier(IDNPS, "IDNPS", "899700990015")]),
        account(identifier=[identifier(), identifier(IDNPS, "IDNPS", "899700990015")]),
        account(active=False),
        account(meta={"source": ACCOUNT_SYSTEM}),
        account(meta={"profile": [f"{REGUL}|1.1.0"]}),
    ],
)
def test_whole_account_is_accepted(body: Json) -> None:
    assert list(CHECK(body)) == []


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (account(identifier=None), "identifier"),
        (account(identifier=[{"system": "urn:x", "value": "1"}]), "identifier"),
        (account(identifier=[{**identifier(), "type": {"text": "?"}}]), "identifier[0].type"),
        (account(identifier=[identifier(ACCOUNT_SYSTEM, "IDNPS")]), "identifier[0].type"),
        (account(identifier=[identifier(IDNPS, "INTRN", "899700990015")]), "identifier[0].type"),
        # facts §9 row 15: an example pairs IDNPS with the system of structures
        (account(identifier=[identifier(), identifier("urn:oid:1.2.250.1.71.4.2.2", "IDNPS")]), "identifier[1].system"),
        (account(name=None), "name"),
        (account(name=[{"given": ["Alice"]}]), "name[0].family"),
        (account(name=[{"family": "FICTIF"}]), "name[0].given"),
        (account(telecom=None), "telecom"),
        (account(telecom=[{"system": "phone", "value": "+33381000000"}]), "telecom[0].system"),
        (account(telecom=[{"value": "alice@example.org"}]), "telecom[0].system"),
        (account(telecom=[{"system": "email"}]), "telecom[0].value"),
        (account(active=None), "active"),
        (account(active=None, meta={"source": ACCOUNT_SYSTEM}), "active"),
        (
            account(active=None, meta={"profile": ["http://sas.fr/fhir/StructureDefinition/FrPractitionerRegul"]}),
            "active",
        ),
    ],
)
def test_missing_or_contradicting_field_is_refused_with_its_place(body: Json, path: str) -> None:
    [issue] = CHECK(body)
    assert issue.is_error
    assert issue.expression == (f"Practitioner.{path}",)


def test_id_that_is_no_uuid_is_only_doubted() -> None:
    [issue] = CHECK(account(identifier=[identifier(value="12")]))
    assert (issue.is_error, issue.expression) == (False, ("Practitioner.identifier[0].value",))


def test_other_practitioners_may_lack_what_an_account_has() -> None:
    assert list(CHECK({"resourceType": "Practitioner"})) == []
    assert list(CHECK({"resourceType": "Organization", "meta": {"profile": [REGUL]}})) == []


def stored(id_: str, number: int, body: Json) -> Stored:
    return Stored(Key("Practitioner", id_), 1, 0, Interaction.CREATE, serialize(body), Address(number, 0))


def test_active_account_is_meant_before_disabled_ones() -> None:
    matches = [stored("a", 9, account(active=False)), stored("b", 2, account()), stored("c", 3, account(active=False))]
    assert meant(account(), matches) == [Key("Practitioner", "b")]


def test_of_disabled_accounts_the_last_one_is_meant() -> None:
    matches = [stored("a", 9, account(active=False)), stored("b", 2, account(active=False))]
    assert meant(account(), matches) == [Key("Practitioner", "a")]


def test_professional_with_the_same_number_is_not_meant() -> None:
    somebody = {"resourceType": "Practitioner", "identifier": [identifier(IDNPS, "IDNPS", "899700990015")]}
    assert meant(account(), [stored("a", 1, somebody)]) == []
    assert meant(somebody, [stored("a", 1, somebody), stored("b", 2, account())]) == [
        Key("Practitioner", "a"),
        Key("Practitioner", "b"),
    ]
