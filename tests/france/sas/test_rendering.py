"""Resources as the SAS guide has them."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.definitions.registry import DEFAULT_TYPES
from fhir_server.definitions.structures import Structures
from fhir_server.france import vocabulary
from fhir_server.france.regulators import ACCOUNTS
from fhir_server.france.sas import profiles
from fhir_server.france.sas.base import Version
from fhir_server.france.sas.rendering import needs, rendered
from fhir_server.interactions.tools import Validates
from fhir_server.validation.validator import Validator

Json = dict[str, Any]

IDNPS, IDNST = "urn:oid:1.2.250.1.71.4.2.1", "urn:oid:1.2.250.1.71.4.2.2"
RPPS = {"system": "https://rpps.esante.gouv.fr", "value": "99700990015"}


def one(type_: str, **elements: Any) -> Json:
    return {
        "resourceType": type_,
        "id": "x",
        "meta": {"versionId": "3", "profile": ["https://example.org/p"]},
        **elements,
    }


def shown(resource: Json, version: Version = Version.V1_2, **related: Json) -> Json:
    return rendered(resource, version, {key.replace("_", "/"): value for key, value in related.items()})


def typed(types: str, code: str, system: str, value: str) -> Json:
    return {"type": {"coding": [{"system": types, "code": code}]}, "system": system, "value": value}


@pytest.mark.parametrize(
    "identifier",
    [
        [RPPS],
        [{"system": IDNPS, "value": "899700990015"}],
        [{"system": "https://example.org/local", "value": "7"}, RPPS, {"system": IDNPS, "value": "899700990015"}],
    ],
)
def test_professional_has_the_prefixed_national_number_alone(identifier: list[Json]) -> None:
    seen = shown(one("Practitioner", identifier=identifier, active=True, name=[{"family": "Fictif"}]))
    assert seen["identifier"] == [typed(vocabulary.IDENTIFIER_TYPES_OLD, "IDNPS", IDNPS, "899700990015")]
    assert seen["meta"] == {"versionId": "3", "profile": [profiles.PRACTITIONER]}
    assert (seen["active"], seen["name"]) == (True, [{"family": "Fictif"}])


def test_professional_keeps_diplomas_and_no_other_qualification() -> None:
    diploma = {"code": {"coding": [{"system": "https://mos.esante.gouv.fr/NOS/TRE_R48-X/FHIR/TRE-R48-X", "code": "D"}]}}
    trade = {"code": {"coding": [{"system": "https://mos.esante.gouv.fr/NOS/TRE_G15-X/FHIR/TRE-G15-X", "code": "10"}]}}
    assert shown(one("Practitioner", qualification=[trade, diploma]))["qualification"] == [diploma]
    assert "qualification" not in shown(one("Practitioner", qualification=[trade]))


def test_account_of_a_regulator_is_not_rendered() -> None:
    account = one("Practitioner", identifier=[RPPS], telecom=[{"system": "email", "value": "a@example.org"}])
    account["meta"]["profile"] = sorted(ACCOUNTS.profiles)[:1]
    assert shown(account) is account


def test_row_15_practice_without_a_phone_has_no_telecom() -> None:
    role = one("PractitionerRole", practitioner={"reference": "Practitioner/1"}, contained=[place("lieu")])
    assert "telecom" not in shown(role | {"location": [{"reference": "#lieu"}]})


def place(id_: str, **more: Any) -> Json:
    return {"resourceType": "Location", "id": id_, "address": {"city": "Audincourt"}, **more}


def test_role_with_places_and_structure_elsewhere_takes_them_in() -> None:
    role = one(
        "PractitionerRole",
        organization={"reference": "Organization/o"},
        location=[{"reference": "Location/l"}],
        period={"start": "2026-01-01"},
    )
    assert list(needs(role)) == ["Organization/o", "Location/l"]
    site = one("Organization", identifier=[{"system": "https://finess.esante.gouv.fr", "value": "259999068"}])
    seen = shown(role, Organization_o=site, Location_l=place("l", meta={"versionId": "2"}, text={"status": "empty"}))
    assert seen["organization"] == {"identifier": typed(vocabulary.IDENTIFIER_TYPES_OLD, "IDNST", IDNST, "1259999068")}
    assert seen["location"] == [{"reference": "#place"}]
    assert seen["contained"] == [place("place", meta={"profile": [profiles.LOCATION]})]


@pytest.mark.parametrize("locations", [["#a", "#b"], ["#a", "Location/l"], ["Location/gone", "#a"]])
def test_role_with_several_places_has_the_first_alone(locations: list[str]) -> None:
    """The guide wants a role for each; a contained place that nothing refers to would be invalid (dom-3)."""
    number = {"system": "https://example.org/lieu", "value": "1", "type": {"text": "lieu"}}
    role = one(
        "PractitionerRole",
        contained=[place("b"), place("a", identifier=[{"value": "0"}, number])],
        location=[{"reference": text} for text in locations],
    )
    seen = shown(role, Location_l=place("l"))
    assert seen["location"] == [{"reference": "#a"}]
    (told,) = seen["contained"]
    assert told["identifier"] == [
        typed(vocabulary.PLACE_IDENTIFIER_TYPES_OLD, "INTRN", "https://example.org/lieu", "1")
    ]


def test_role_and_agenda_have_codes_of_the_guides_value_sets_alone() -> None:
    function = vocabulary.concept(vocabulary.tre("TRE_R21-Fonction"), "FON-01")
    general = vocabulary.concept(vocabulary.tre("TRE_R38-SpecialiteOrdinale"), "SM54")
    ours = vocabulary.concept(vocabulary.own("cpts-role"), "adherent")
    trade = vocabulary.concept(vocabulary.tre("TRE_G15-ProfessionSante"), "10")
    seen = shown(one("PractitionerRole", code=[ours, trade, function], specialty=[{"text": "x"}, general]))
    assert (seen["code"], seen["specialty"]) == ([function], [general])
    seen = shown(one("PractitionerRole", code=[ours, trade], specialty=[{"text": "x"}]))
    assert not {"code", "specialty"} & seen.keys()
    assert shown(one("Schedule", specialty=[ours, general]))["specialty"] == [general]


def test_role_that_is_whole_needs_nothing_else() -> None:
    role = one("PractitionerRole", organization={"identifier": RPPS}, location=[{"reference": "#lieu"}])
    assert list(needs(role)) == []


@pytest.mark.parametrize(
    ("actor", "profile"), [("Practitioner/1", profiles.SCHEDULE), ("Location/1", profiles.SOS_SCHEDULE)]
)
def test_agenda_has_the_profile_of_its_flow(actor: str, profile: str) -> None:
    seen = shown(one("Schedule", actor=[{"reference": actor}], serviceType=[{"text": "x"}], comment="y"))
    assert seen == {
        **one("Schedule"),
        "meta": {"versionId": "3", "profile": [profile]},
        "actor": [{"reference": actor}],
    }


def test_agenda_of_a_professional_is_one_though_a_place_takes_part() -> None:
    people = [{"reference": "Practitioner/1"}, {"reference": "https://example.org/fhir/PractitionerRole/2"}]
    seen = shown(one("Schedule", actor=[{"reference": "Location/Practitioner"}, *people]))
    assert (seen["actor"], seen["meta"]["profile"]) == (people, [profiles.SCHEDULE])


@pytest.mark.parametrize(
    ("version", "types"),
    [(Version.V1_1, vocabulary.PLACE_IDENTIFIER_TYPES_OLD), (Version.V1_2, vocabulary.IDENTIFIER_TYPES)],
)
def test_pitfall_03_type_of_a_cpts_number_is_of_the_guides_version(version: Version, types: str) -> None:
    finess = {"system": "https://finess.esante.gouv.fr", "value": "259999407"}
    seen = shown(one("Organization", identifier=[finess], name="CPTS fictive"), version)
    assert seen["identifier"] == [typed(types, "IDNST", IDNST, "1259999407")]
    assert seen["meta"]["profile"] == [profiles.CPTS_ORGANIZATION]


@pytest.mark.parametrize("version", list(Version))
def test_association_of_sos_has_its_siret_prefixed(version: Version) -> None:
    siret = {"system": "https://sirene.fr", "value": "99999901400015"}
    seen = shown(one("Organization", identifier=[siret]), version)
    assert seen["identifier"] == [typed(vocabulary.PLACE_IDENTIFIER_TYPES_OLD, "IDNST", IDNST, "399999901400015")]
    assert seen["meta"]["profile"] == [profiles.SOS_ORGANIZATION]


FINESS = {"system": "https://finess.esante.gouv.fr", "value": "259999407"}
BY_SIRET = {"system": "https://sirene.fr", "value": "99999901400015"}
PREFIXED = {"system": IDNST, "value": "399999901400015"}
CPTS = {"coding": [{"system": "https://mos.esante.gouv.fr/NOS/TRE_R66-CategorieEtablissement", "code": "604"}]}


@pytest.mark.parametrize(
    ("numbers", "kinds", "claimed", "profile", "number"),
    [
        ([BY_SIRET, FINESS], [], "", profiles.CPTS_ORGANIZATION, "1259999407"),
        ([BY_SIRET, FINESS], [], profiles.SOS_ORGANIZATION, profiles.SOS_ORGANIZATION, "399999901400015"),
        ([PREFIXED, FINESS], [], "", profiles.SOS_ORGANIZATION, "399999901400015"),
        ([PREFIXED, FINESS], [CPTS], "", profiles.CPTS_ORGANIZATION, "1259999407"),
        ([BY_SIRET], [CPTS], profiles.SOS_ORGANIZATION, profiles.CPTS_ORGANIZATION, "399999901400015"),
        ([FINESS], [], profiles.SOS_ORGANIZATION, profiles.CPTS_ORGANIZATION, "1259999407"),
    ],
)
def test_cpts_and_sos_are_told_apart_by_category_then_number(
    numbers: list[Json], kinds: list[Json], claimed: str, profile: str, number: str
) -> None:
    seen = shown(one("Organization", identifier=numbers, type=kinds) | {"meta": {"profile": [claimed]}})
    assert (seen["meta"]["profile"], seen["identifier"][0]["value"]) == ([profile], number)


def test_service_of_a_cpts_says_who_provides_it() -> None:
    provider = {"reference": "Organization/o"}
    seen = shown(one("HealthcareService", providedBy=provider, comment="x"))
    assert seen == {**one("HealthcareService"), "meta": {"versionId": "3", "profile": [profiles.CPTS_SERVICE]}} | {
        "providedBy": provider
    }


def test_place_of_sos_is_typed_as_the_guide_has_it() -> None:
    seen = shown(one("Location", identifier=[{"system": "https://example.org/lieu", "value": "1"}], name="Centre"))
    assert seen["identifier"] == [
        typed(vocabulary.PLACE_IDENTIFIER_TYPES_OLD, "INTRN", "https://example.org/lieu", "1")
    ]
    assert seen["meta"]["profile"] == [profiles.SOS_LOCATION]


def test_primitive_extensions_stay() -> None:
    seen = shown(one("Organization", name="x", _name={"extension": [{"url": "u", "valueCode": "c"}]}))
    assert seen["_name"] == {"extension": [{"url": "u", "valueCode": "c"}]}


def test_other_types_come_back_as_they_are() -> None:
    appointment = one("Appointment")
    assert shown(appointment) is appointment


@pytest.fixture(scope="module")
def validator() -> Validates:
    return Validator(Structures.load(), DEFAULT_TYPES)


def test_what_is_rendered_of_the_demonstration_is_valid_fhir(roster: list[Json], validator: Validates) -> None:
    seen = [rendered(resource, version, {}) for resource in roster for version in Version]
    assert [issue for resource in seen for issue in validator.validate(resource) if issue.is_error] == []
