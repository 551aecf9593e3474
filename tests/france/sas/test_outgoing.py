"""What leaves of an appointment: what the platform wants, from every spelling, and nothing else, whatever is stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.france.sas import profiles
from fhir_server.france.sas.appointments import check
from fhir_server.france.sas.base import Version
from fhir_server.france.sas.push.outgoing import Unsendable, cancelled, is_for_sas, outgoing, wanted
from fhir_server.france.sas.received import TAG
from tests.france.sas.telling import (
    ACCOUNTS,
    DOCTOR,
    EDITOR,
    IDNPS,
    REGULATOR,
    SOS,
    Json,
    identifier,
    operator,
    orientation,
    told,
)

OLD, NEW = Version
SPARE = {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:5b1c0a3e-3f3a-4a9b-9c0e-000000000001"}
CATEGORIES = "https://mos.esante.gouv.fr/NOS/TRE_R66-CategorieEtablissement/FHIR/TRE-R66-CategorieEtablissement"
ACCOUNT = "1ef1c748-01a3-6180-b098-73283ce4e5b1"
RELATED: dict[str, Json] = {
    "Practitioner/alice": {
        "resourceType": "Practitioner",
        "identifier": [{"system": "https://rpps.esante.gouv.fr", "value": DOCTOR[1:]}],
    },
    "Practitioner/nobody": {"resourceType": "Practitioner"},
    "Practitioner/regul": {
        "resourceType": "Practitioner",
        "meta": {"source": ACCOUNTS},
        "identifier": [{"system": ACCOUNTS, "value": ACCOUNT}],
    },
    "Location/centre": {
        "resourceType": "Location",
        "identifier": [{"system": "https://sos.example.org/lieux", "value": "centre"}],
    },
}


def taking(*references: str, status: str = "accepted") -> list[Json]:
    return [{"actor": {"reference": one}, "status": status} for one in references]


def stored(status: str = "booked", **more: Any) -> Json:
    """Return an Appointment as an editor keeps it."""
    more = {"participant": taking("Practitioner/alice", "Patient/p"), **more}
    return {"id": "a", "slot": [{"reference": "Slot/s"}], "comment": "x", **told(status, **more)}


def sent(appointment: Json, version: Version = NEW, last: Json | None = None) -> Json:
    body = outgoing(appointment, version, RELATED, last, SPARE)
    assert body is not None
    return body


def test_body_is_what_the_platform_wants() -> None:
    assert sent(stored(created="2026-01-05T10:00:00+01:00")) == told(created="2026-01-05T10:00:00+01:00")


def test_every_body_is_accepted_by_the_receiving_side() -> None:
    for version in Version:
        for one in (stored(), stored("noshow"), stored(meta=SOS), stored(participant=taking("Location/centre"))):
            assert list(check(sent(one, version), version)) == []


OPERATORS = [
    ([operator()], REGULATOR),
    ([operator(sorted(profiles.OPERATORS)[1], identifier=identifier(REGULATOR))], REGULATOR),
    ([operator(reference="Practitioner/regul")], ACCOUNT),
    ([operator(reference="Practitioner/alice", display="x")], DOCTOR),
    ([operator(identifier={"system": "https://rpps.esante.gouv.fr", "value": DOCTOR[1:]})], DOCTOR),
]


@pytest.mark.parametrize(("extensions", "value"), OPERATORS)
def test_facts_9_row_20_operator_is_found_in_every_spelling(extensions: list[Json], value: str) -> None:
    one = stored(meta=None, extension=extensions)
    assert is_for_sas(one)
    (extension,) = sent(one)["extension"]
    assert extension["url"] == profiles.OPERATOR
    assert extension["valueReference"]["identifier"]["value"] == value


def test_facts_9_row_20_operator_among_the_participants_is_found() -> None:
    system, code = profiles.OPERATOR_ROLE
    role = {"type": [{"coding": [{"system": system, "code": code}]}], "actor": {"identifier": identifier(REGULATOR)}}
    one = stored(meta=None, extension=[], participant=[role, *taking("Practitioner/alice")])
    assert is_for_sas(one)
    assert sent(one) == told()


NOT_OURS = [
    stored(meta=None, extension=[]),
    stored(meta={"profile": ["https://example.org/x"]}, extension=[orientation()]),
    stored(meta=None, extension=[operator(reference="Patient/p")]),
    stored(meta=None, extension=[operator(reference="Organization/o")]),
    stored(meta=None, extension=[operator(identifier={"system": "urn:oid:1.2.250.1.213.1.4.8", "value": "1"})]),
    stored(meta={"profile": [profiles.APPOINTMENT], "tag": [TAG]}),
]


@pytest.mark.parametrize("one", NOT_OURS)
def test_other_appointments_are_not_for_the_platform(one: Json) -> None:
    assert not is_for_sas(one)


def test_an_appointment_that_claims_a_profile_is_for_the_platform() -> None:
    for profile in profiles.APPOINTMENTS:
        assert is_for_sas(stored(meta={"profile": [f"{profile}|1.1.0"]}, extension=[]))


STATUSES = [
    ("booked", "booked"),
    ("arrived", "booked"),
    ("checked-in", "booked"),
    ("fulfilled", "fulfilled"),
    ("noshow", "noshow"),
    ("proposed", None),
    ("pending", None),
    ("waitlist", None),
    ("cancelled", None),
    ("entered-in-error", None),
]


@pytest.mark.parametrize(("status", "expected"), STATUSES)
def test_status_is_one_of_the_life_cycle(status: str, expected: str | None) -> None:
    body = outgoing(stored(status), NEW, RELATED, None, SPARE)
    assert (body and body["status"]) == expected


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_what_was_told_is_cancelled_as_it_was_told(status: str) -> None:
    one = stored(status, start=None, end=None, extension=[], participant=[])
    assert sent(one, last=told()) == told("cancelled")


def test_deletion_cancels_what_is_booked() -> None:
    assert cancelled(told()) == told("cancelled")
    assert cancelled(told("fulfilled")) is None
    assert cancelled(None) is None


def test_facts_9_row_19_status_of_participants_is_that_of_the_version() -> None:
    one = stored(participant=taking("Practitioner/alice", status="needs-action"))
    assert [sent(one, version)["participant"][0]["status"] for version in Version] == ["accepted", "needs-action"]
    with pytest.raises(Unsendable):
        sent(stored(participant=taking("Practitioner/alice", status="declined")))


def test_orientation_is_told_since_guide_1_2() -> None:
    coding = {"system": CATEGORIES, "code": "604"}
    written = {"coding": [{**coding, "display": "x"}], "text": "x"}
    one = stored(extension=[operator(), {"url": profiles.ORIENTATION, "valueCodeableConcept": written}])
    assert sent(one)["extension"][1]["valueCodeableConcept"] == {"coding": [coding]}
    assert len(sent(one, OLD)["extension"]) == len(sent({**one, "meta": SOS})["extension"]) == 1


def test_place_without_a_professional_is_of_sos() -> None:
    body = sent(stored(meta=None, participant=taking("Location/centre", "Patient/p")))
    assert body["meta"]["profile"] == [profiles.SOS_APPOINTMENT]
    assert [one["actor"]["identifier"]["value"] for one in body["participant"]] == ["centre"]
    both = stored(participant=taking("Location/centre", "Practitioner/alice"))
    assert sent(both) == told()


IDENTIFIERS = [
    ([{"system": EDITOR, "value": "1"}, {"system": "urn:x", "value": "2"}], {"system": EDITOR, "value": "1"}),
    ([], SPARE),
    ([{"value": "1"}], SPARE),
    ([{"system": "urn:oid:1.2.250.1.213.1.4.8", "value": "1"}, {"system": EDITOR, "value": "2"}], None),
    (
        [{"type": {"coding": [{"code": "PI"}]}, "system": "urn:ipp", "value": "1"}, {"system": EDITOR, "value": "2"}],
        None,
    ),
]


@pytest.mark.parametrize(("identifiers", "expected"), IDENTIFIERS)
def test_identifier_is_the_appointments_own(identifiers: list[Json], expected: Json | None) -> None:
    assert sent(stored(identifier=identifiers))["identifier"] == [expected or {"system": EDITOR, "value": "2"}]
    assert sent(stored(identifier=identifiers), last=told())["identifier"] == told()["identifier"]


UNSENDABLE = [
    (stored(participant=taking("Practitioner/nobody", "Patient/p")), "no participant has a national number"),
    (stored(participant=taking("Practitioner/unknown")), "no participant has a national number"),
    (stored(participant=taking("Practitioner/regul")), "no participant has a national number"),
    (stored(extension=[]), "nobody who booked it"),
    (stored(extension=[operator(reference="Patient/p")]), "nobody who booked it"),
    (stored(start=None), "Appointment.start is missing"),
]


@pytest.mark.parametrize(("one", "reason"), UNSENDABLE)
def test_what_cannot_be_told_says_why(one: Json, reason: str) -> None:
    with pytest.raises(Unsendable, match=reason):
        sent(one)


def test_references_to_patients_are_not_followed() -> None:
    assert list(wanted(stored(participant=taking("Practitioner/alice", "Patient/p", "#c", "RelatedPerson/r")))) == [
        "Practitioner/alice",
        "#c",
    ]


# --- whatever is stored ----------------------------------------------------------------------------------------------

MARK = "Dupont-Marque"
trees = st.recursive(
    st.just(MARK),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["display", "text", "reference", "value", "url", MARK]), inner, max_size=3)
    ),
    max_leaves=4,
)
ELEMENTS = (
    "text",
    "contained",
    "modifierExtension",
    "cancelationReason",
    "serviceCategory",
    "serviceType",
    "specialty",
    "appointmentType",
    "reasonCode",
    "reasonReference",
    "priority",
    "description",
    "supportingInformation",
    "minutesDuration",
    "slot",
    "comment",
    "patientInstruction",
    "basedOn",
    "requestedPeriod",
    "language",
    "implicitRules",
    "_status",
    "_start",
    "unknown",
)
WITHIN = ("display", "id", "_value", "_system", "period", "assigner", "use", "extension")
poison = st.dictionaries(st.sampled_from(WITHIN), trees, max_size=3)
strangers = st.builds(
    lambda type_, extra: {
        "actor": {"reference": f"{type_}/{MARK}", "display": MARK, **extra},
        "status": "accepted",
    },
    st.sampled_from(["Patient", "RelatedPerson", "Device", "HealthcareService"]),
    poison.map(lambda one: {name: value for name, value in one.items() if name != "extension"}),
) | st.just({"actor": {"type": "Patient", "identifier": {"system": "urn:ipp", "value": MARK}}, "status": "accepted"})


@st.composite
def appointments(draw: st.DrawFn) -> Json:
    """Return an Appointment with what may leave, and anything else beside and inside of it."""

    def with_more(one: Json) -> Json:
        return {**draw(poison), **one}

    number = with_more(identifier()) | {"type": with_more({"coding": [with_more(identifier()["type"]["coding"][0])]})}
    actor: Json = draw(st.sampled_from([{"reference": "Practitioner/alice"}, {"identifier": number}]))
    known = {**with_more(actor), "display": MARK}
    place = draw(st.sampled_from([[], taking("Location/centre")]))
    people = [{**with_more({}), "type": [{"text": MARK}], "actor": known, "status": "accepted"}]
    others = draw(st.lists(strangers, max_size=3))
    booked = {"url": profiles.OPERATOR, "valueReference": {"display": MARK, "identifier": number}}
    sent_to = {"coding": [{"code": "001", "display": MARK, "system": draw(st.sampled_from([MARK, CATEGORIES]))}]}
    directed = {"url": profiles.ORIENTATION, "valueCodeableConcept": {"text": MARK, **sent_to}}
    own = {"system": EDITOR, "value": "rdv-1", **draw(poison)}
    unknown = {"url": MARK, "valueString": MARK}
    return {
        **draw(st.dictionaries(st.sampled_from(ELEMENTS), trees, max_size=8)),
        "resourceType": "Appointment",
        "id": MARK,
        "meta": {"profile": [draw(st.sampled_from(sorted(profiles.APPOINTMENTS)))], "source": MARK},
        "extension": draw(st.permutations([booked, directed, unknown])),
        "identifier": [{**own, "system": EDITOR, "value": "rdv-1"}],
        "status": draw(st.sampled_from(["booked", "arrived", "fulfilled", "noshow"])),
        "start": "2026-01-06T14:00:00+01:00",
        "end": "2026-01-06T14:15:00+01:00",
        "participant": draw(st.permutations([*people, *place, *others])),
    }


@settings(max_examples=60, deadline=None)
@given(appointments(), st.sampled_from(list(Version)), poison)
def test_nothing_else_leaves_whatever_is_stored(one: Json, version: Version, more: Json) -> None:
    related = {text: {**more, **found, "name": [{"family": MARK}]} for text, found in RELATED.items()}
    body = outgoing(one, version, related, None, SPARE)
    assert body is not None
    assert MARK not in json.dumps(body)
    assert "Patient" not in json.dumps(body)
    assert list(check(body, version)) == []
    assert body.keys() == {"resourceType", "meta", "extension", "identifier", "status", "start", "end", "participant"}
    assert body["meta"].keys() == {"profile"}
    assert all(one.keys() == {"system", "value"} for one in body["identifier"])
    assert {one["url"] for one in body["extension"]} <= {profiles.OPERATOR, profiles.ORIENTATION}
    for taking_part in body["participant"]:
        assert taking_part.keys() == {"actor", "status"}
        assert taking_part["actor"].keys() == {"identifier"}
        assert taking_part["actor"]["identifier"].keys() == {"type", "system", "value"}
        assert taking_part["actor"]["identifier"]["system"] in {IDNPS, "https://sos.example.org/lieux"}
