"""The teams of the demonstration, the patients they care for, and the requests that wait for an answer.

Patients are fictitious and carry no national identifier.

Spec: https://hl7.org/fhir/R4/careteam.html, https://hl7.org/fhir/R4/task.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.france.demo.facts import Cpts
from fhir_server.france.demo.people import membership_id
from fhir_server.france.demo.resources import REQUEST_SYSTEM, tagged
from fhir_server.france.demo.structures import address
from fhir_server.france.vocabulary import LOINC, Json, concept, own, profile, reference, tre

TEAM_CATEGORIES = {"parcours": "LA27978-8", "cellule-crise": "LA27975-4"}
"""LOINC's answer for a kind of team, where it has one: condition-focused, event-focused."""

TEAM_PROFILES = {
    "college": "cpts-governance-college",
    "parcours": "cpts-pathway-team",
    "cellule-crise": "cpts-crisis-cell",
}
"""Our profile for a kind of team, where there is one."""

REASONS = {
    "age": "Patient âgé sans médecin traitant",
    "ald": "Patient en affection de longue durée sans médecin traitant",
    "precarite": "Patient en situation de précarité sans médecin traitant",
}


def teams(cpts: Cpts) -> Iterator[Json]:
    """The teams of the CPTS itself: colleges, pathways, proximity, crisis; none has a subject."""
    for row in cpts.facts["equipes"]:
        yield _team(cpts, row)


def patients(cpts: Cpts) -> Iterator[Json]:
    """The patients, the care circle and pathway team of those followed, the requests of the others."""
    for row in cpts.facts["patients"]:
        yield _patient(cpts, row)
        if "cercle" in row:
            yield _circle(cpts, row)
            yield _patient_pathway(cpts, row)
        if "recherche-mt" in row:
            yield _search_for_doctor(cpts, row)
    for row in cpts.facts["sorties"]:
        yield from _discharge(cpts, row)


def _team(cpts: Cpts, row: dict[str, Any]) -> Json:
    return tagged(
        "CareTeam",
        f"{cpts.key}-{row['id']}",
        profile(TEAM_PROFILES[row["categorie"]]) if row["categorie"] in TEAM_PROFILES else None,
        status="active",
        category=_categories(row),
        name=row["nom"],
        period={"start": cpts.facts["signature"]},
        participant=_participants(cpts, row),
        managingOrganization=[reference("Organization", cpts.id)],
    )


def _categories(row: dict[str, Any]) -> list[Json]:
    kind = row["categorie"]
    loinc = [concept(LOINC, TEAM_CATEGORIES[kind])] if kind in TEAM_CATEGORIES else []
    pathway = [concept(own("cpts-parcours"), row["parcours"])] if "parcours" in row else []
    return [*loinc, concept(own("cpts-team"), kind), *pathway]


def _participants(cpts: Cpts, row: dict[str, Any]) -> list[Json]:
    people = [
        (role, reference("PractitionerRole", membership_id(cpts.member_id(short))))
        for role, shorts in row.get("membres", {}).items()
        for short in shorts
    ]
    structures = [
        (role, reference("Organization", id_)) for role, ids in row.get("structures", {}).items() for id_ in ids
    ]
    period = {"start": cpts.facts["signature"]}
    return [
        {"role": [concept(own("cpts-role"), role)], "member": member, "period": period}
        for role, member in (*people, *structures)
    ]


def _patient_id(cpts: Cpts, short: str) -> str:
    return f"{cpts.key}-patient-{short}"


def _patient(cpts: Cpts, row: dict[str, Any]) -> Json:
    commune = next(commune for commune in cpts.communes if commune["insee"] == row["commune"])
    doctor = row.get("medecin-traitant")
    return tagged(
        "Patient",
        _patient_id(cpts, row["id"]),
        active=True,
        name=[{"family": row["nom"], "given": [row["prenom"]]}],
        gender=row["genre"],
        birthDate=row["naissance"],
        address=[address(commune)],
        generalPractitioner=[reference("Practitioner", cpts.member_id(doctor))] if doctor else None,
    )


def _circle(cpts: Cpts, row: dict[str, Any]) -> Json:
    """The care circle: one per patient, without category, as the "cercle de soins" guide wants it."""
    doctor = concept(tre("TRE_R259-HL7ParticipationFunction"), "PCP")
    others = [{"member": _member(cpts, short), "period": _since(cpts)} for short in row["cercle"]]
    id_ = f"{cpts.key}-cercle-{row['id']}"
    return tagged(
        "CareTeam",
        id_,
        profile("cpts-patient-circle"),
        identifier=[{"system": REQUEST_SYSTEM, "value": id_}],
        status="active",
        name=f"Cercle de soins de {row['prenom']} {row['nom']}",
        subject=reference("Patient", _patient_id(cpts, row["id"])),
        period=_since(cpts),
        participant=[
            {"role": [doctor], "member": _member(cpts, row["medecin-traitant"]), "period": _since(cpts)},
            *others,
        ],
    )


def _patient_pathway(cpts: Cpts, row: dict[str, Any]) -> Json:
    """The pathway team of one patient: the people of the circle, in the pathway of the CPTS."""
    team = next(team for team in cpts.facts["equipes"] if team["id"] == row["parcours"])
    members = [_member(cpts, short) for short in (row["medecin-traitant"], *row["cercle"])]
    return tagged(
        "CareTeam",
        f"{cpts.key}-{row['parcours']}-{row['id']}",
        profile("cpts-pathway-team"),
        status="active",
        category=_categories(team),
        name=f"{team['nom']} : {row['prenom']} {row['nom']}",
        subject=reference("Patient", _patient_id(cpts, row["id"])),
        period=_since(cpts),
        participant=[{"member": member, "period": _since(cpts)} for member in members],
        managingOrganization=[reference("Organization", cpts.id)],
    )


def _member(cpts: Cpts, short: str) -> Json:
    return reference("PractitionerRole", membership_id(cpts.member_id(short)))


def _since(cpts: Cpts) -> Json:
    return {"start": cpts.facts["signature"]}


def _search_for_doctor(cpts: Cpts, row: dict[str, Any]) -> Json:
    """The request of a patient who has no médecin traitant, addressed to the CPTS."""
    reason = row["recherche-mt"]
    return tagged(
        "Task",
        f"{cpts.key}-recherche-mt-{row['id']}",
        profile("cpts-doctor-search"),
        status="requested",
        intent="order",
        priority="urgent" if reason == "ald" else "routine",
        code=concept(own("cpts-task"), "recherche-mt"),
        for_=reference("Patient", _patient_id(cpts, row["id"])),
        owner=reference("Organization", cpts.id),
        reasonCode={**concept(own("cpts-task-reason"), reason), "text": REASONS[reason]},
    )


def _discharge(cpts: Cpts, row: dict[str, Any]) -> Iterator[Json]:
    """A hospital's request to coordinate a discharge, and the task that carries the answer."""
    id_, patient = f"{cpts.key}-sortie-{row['patient']}", reference("Patient", _patient_id(cpts, row["patient"]))
    kind = concept(own("cpts-task"), "coordination-sortie")
    sender, receiver = reference("Organization", row["de"]), reference("Organization", row["a"])
    yield tagged(
        "ServiceRequest",
        id_,
        profile("cpts-dac-referral"),
        identifier=[{"system": REQUEST_SYSTEM, "value": id_}],
        status="active",
        intent="order",
        code=kind,
        subject=patient,
        requester=sender,
        performer=[receiver],
    )
    answer = [{"type": {"text": "Réponse"}, "valueString": row["reponse"]}] if "reponse" in row else None
    yield tagged(
        "Task",
        id_,
        profile("cpts-dac-referral-task"),
        basedOn=[reference("ServiceRequest", id_)],
        status=row["etat"],
        intent="order",
        code=kind,
        focus=reference("ServiceRequest", id_),
        for_=patient,
        requester=sender,
        owner=receiver,
        output=answer,
    )
