"""Plans: from a request to the query that engines answer."""

from __future__ import annotations

import pytest

from fhir_server.definitions.registry import Registry
from fhir_server.search.compounds import COMPOUNDS, Compound
from fhir_server.search.leaves import is_single, leaves
from fhir_server.search.plan import compartment_query, compartment_types
from fhir_server.search.query import (
    EVERYTHING,
    NOTHING,
    And,
    Bounds,
    EndsWith,
    Equal,
    Ids,
    Keys,
    Near,
    Node,
    Not,
    Or,
    Present,
    Query,
    References,
    ReferredBy,
    SortBy,
    Spans,
    StartsWith,
    TextContains,
    TextIs,
    TextStarts,
    Updated,
)
from tests.search.asking import BASE, NOW, PARIS, Ask

FREE = "free\x1fhttp://hl7.org/fhir/slotstatus"
DAY = 86_400_000_000
MAY_14 = 1_936_476_000_000_000
"""2031-05-14T00:00 in Paris."""

ROWS: list[tuple[str, str, Node]] = [
    ("Slot", "", EVERYTHING),
    ("Slot", "status=free", Equal("status", (FREE,))),
    ("Slot", "status=|free", Equal("status", (FREE,))),
    ("Slot", "status=http://hl7.org/fhir/slotstatus|free", Equal("status", (FREE,))),
    ("Slot", "status:not=free", Not(Equal("status", (FREE,)))),
    ("Slot", "status:missing=true", Not(Present("status"))),
    ("Slot", "_id=a,b", Ids(("a", "b"))),
    ("Slot", "_id:not=a", Not(Ids(("a",)))),
    ("Slot", "_id:missing=true", NOTHING),
    ("Slot", "_lastUpdated:missing=false", EVERYTHING),
    ("Slot", "_lastUpdated=lt2031-05-14", Updated((Bounds(low_below=MAY_14),))),
    ("Slot", "start=2031-05-14", Spans("start", (Bounds(low_from=MAY_14, low_below=MAY_14 + DAY),), None, 1)),
    (
        "Task",
        "authored-on=ge2031-05-14",
        Spans("authored-on", (Bounds(low_from=MAY_14, high_to=MAY_14 + DAY), Bounds(high_above=MAY_14 + DAY))),
    ),
    (
        "Slot",
        "start=ge2031-05-14&start=lt2031-05-15",
        Spans("start", (Bounds(low_from=MAY_14, low_below=MAY_14 + DAY),), None, 1),
    ),
    ("Slot", "start=ge2031-05-15&start=lt2031-05-14", NOTHING),
    ("Slot", "start=ge9999-12-31&start=lt0001", NOTHING),
    ("Practitioner", "identifier=a", StartsWith("identifier", ("a\x1f",))),
    ("Practitioner", "identifier=|a", Equal("identifier", ("a\x1f",))),
    ("Practitioner", "identifier=s|", EndsWith("identifier", ("\x1fs",))),
    ("Practitioner", "identifier:of-type=s|c|v", Equal("identifier:of-type", ("s\x1fc\x1fv",))),
    ("Practitioner", "active=true", Equal("active", ("true\x1f",))),
    (
        "Practitioner",
        "active=http://terminology.hl7.org/CodeSystem/special-values|true",
        Equal("active", ("true\x1f",)),
    ),
    ("Practitioner", "active:not=http://hl7.org/fhir/special-values|true", Not(Equal("active", ("true\x1f",)))),
    (
        "Patient",
        "deceased=http://terminology.hl7.org/CodeSystem/special-values|false",
        Equal("deceased", ("false\x1f",)),
    ),
    (
        "Practitioner",
        "identifier=http://terminology.hl7.org/CodeSystem/special-values|true",
        Equal("identifier", ("true\x1fhttp://terminology.hl7.org/CodeSystem/special-values",)),
    ),
    ("PractitionerRole", "specialty:text=Péd", TextStarts("specialty:text", ("ped",))),
    ("Practitioner", "family=Él,B", TextStarts("family", ("el", "b"))),
    ("Practitioner", "family:exact=Éluard", TextIs("family", (("eluard", "Éluard"),))),
    ("Practitioner", "family:contains=%", TextContains("family", ("%",))),
    ("Practitioner", "_profile=http://x/y|1", Equal("_profile", ("http://x/y|1",))),
    (
        "Practitioner",
        "_source:below=http://x/y",
        Or((Equal("_source", ("http://x/y",)), StartsWith("_source", ("http://x/y/",)))),
    ),
    (
        "Practitioner",
        "_source:above=http://x/y",
        Equal("_source", ("http://x/y", "http://x/y/", "http://x", "http://x/")),
    ),
    ("Slot", "schedule=Schedule/1", Equal("schedule", ("Schedule/1",))),
    ("Slot", "schedule=1", Equal("schedule", ("Schedule/1",))),
    ("Slot", f"schedule={BASE}/Schedule/1", Equal("schedule", ("Schedule/1",))),
    ("Slot", "schedule=Schedule/1/_history/2", Equal("schedule", ("Schedule/1/_history/2",))),
    ("Slot", "schedule=http://other/Schedule/1", Equal("schedule", ("http://other/Schedule/1",))),
    ("Slot", "schedule:Schedule=1", Equal("schedule", ("Schedule/1",))),
    ("Slot", "schedule:Schedule=http://other/Schedule/1", Equal("schedule", ("http://other/Schedule/1",))),
    ("Slot", "schedule:identifier=s|v", Equal("schedule:identifier", ("v\x1fs",))),
    ("Location", "near=47|6|1|km", Near("near", ((47.0, 6.0, 1000.0),))),
    ("RiskAssessment", "probability=gt0.5", Spans("probability", (Bounds(high_above=0.5000000000000001),))),
    (
        "Practitioner",
        "_has:PractitionerRole:practitioner:active=true",
        ReferredBy("PractitionerRole", "practitioner", Equal("active", ("true\x1f",))),
    ),
]


@pytest.mark.parametrize(("type_", "query", "where"), ROWS, ids=[f"{row[0]}?{row[1]}" for row in ROWS])
def test_criterion_becomes_a_node(ask: Ask, type_: str, query: str, where: Node) -> None:
    assert ask.where(type_, query) == where


def test_sas_query_is_one_range_of_a_compound_beside_what_is_contained(ask: Ask) -> None:
    """INT_R01: free slots of some practitioners in a window."""
    where = ask.where(
        "Slot",
        "start=ge2031-05-14T00:00:00.000+02:00&start=lt2031-05-15&status=free"
        "&schedule.actor:Practitioner.identifier=urn:oid:1.2.250.1.71.4.2.1|8A,urn:oid:1.2.250.1.71.4.2.1|8B"
        "&_include=Slot:schedule&_include:iterate=Schedule:actor",
    )
    practitioners = References(
        "Practitioner",
        Equal("identifier", ("8A\x1furn:oid:1.2.250.1.71.4.2.1", "8B\x1furn:oid:1.2.250.1.71.4.2.1")),
    )
    within = ("8A\x1furn:oid:1.2.250.1.71.4.2.1", "8B\x1furn:oid:1.2.250.1.71.4.2.1")
    actors = Or((Equal("actor", practitioners), Equal("actor:Practitioner.identifier", within)))
    start = Spans("start", (Bounds(low_from=MAY_14, low_below=MAY_14 + DAY),), None, 1)
    compound = Spans("schedule+status+start", start.any_of, Keys((References("Schedule", actors), (FREE,))), 1)
    contained = Or(
        (
            Equal("schedule:Schedule.actor", practitioners),
            Equal("schedule:Schedule.actor:Practitioner.identifier", within),
        )
    )
    assert where == Or((compound, And((contained, start, Equal("status", (FREE,))))))


def test_compound_says_what_it_stands_for(ask: Ask) -> None:
    where = ask.where("Slot", "schedule.actor:Practitioner.active=true&status=free&start=2031-05-14")
    assert isinstance(where, Or)
    assert isinstance(where.nodes[0], Spans)
    start, schedule, status = where.nodes[0].apart()
    assert start == Spans("start", (Bounds(low_from=MAY_14, low_below=MAY_14 + DAY),), None, 1)
    assert isinstance(schedule, Equal)
    assert isinstance(schedule.values, References)
    assert status == Equal("status", (FREE,))
    assert start.apart() == ()


def test_chain_to_several_types_is_no_compound(ask: Ask) -> None:
    where = ask.where("Appointment", "actor.identifier=a&date=2031-05-14")
    assert isinstance(where, And)
    assert not any(isinstance(node, Spans) and "+" in node.parameter for node in where.nodes)


def test_largest_compound_that_fits_is_used_and_the_rest_stays(ask: Ask) -> None:
    where = ask.where("Slot", "schedule=1&start=2031-05-14&service-type=a")
    assert isinstance(where, And)
    span, rest = where.nodes
    assert isinstance(span, Spans)
    assert (span.parameter, span.keys) == ("schedule+start", Keys((("Schedule/1",),)))
    assert rest == StartsWith("service-type", ("a\x1f",))


def test_no_compound_without_its_span(ask: Ask) -> None:
    assert ask.where("Slot", "schedule=1&status=free") == And(
        (Equal("schedule", ("Schedule/1",)), Equal("status", (FREE,)))
    )


def test_of_two_criteria_on_one_part_a_compound_takes_one(ask: Ask) -> None:
    where = ask.where("Appointment", "actor=Practitioner/1&actor=Patient/2&date=2031-05-14")
    assert isinstance(where, And)
    span, other = where.nodes
    assert isinstance(span, Spans)
    assert span.keys == Keys((("Practitioner/1",),))
    assert other == Equal("actor", ("Patient/2",))


def test_chains_through_one_single_reference_are_one(ask: Ask) -> None:
    where = ask.where("Slot", "schedule.active=true&schedule.specialty=x")
    both = And((Equal("active", ("true\x1f",)), StartsWith("specialty", ("x\x1f",))))
    assert isinstance(where, Or)
    assert where.nodes[0] == Equal("schedule", References("Schedule", both))
    assert where.nodes[1:] == (
        And(
            (
                Equal("schedule:Schedule.active", ("true\x1f",)),
                StartsWith("schedule:Schedule.specialty", ("x\x1f",)),
            )
        ),
    )


def test_chains_through_a_list_stay_apart(ask: Ask) -> None:
    where = ask.where("Schedule", "actor:Practitioner.active=true&actor:Practitioner.family=x")
    assert isinstance(where, And)
    assert [type(node) for node in where.nodes] == [Or, Or]


def test_chain_of_open_type_tries_each_target_that_has_the_parameter(ask: Ask) -> None:
    where = ask.where("Schedule", "actor.identifier=s|v")
    assert isinstance(where, Or)
    targets = [
        node.values.type for node in where.nodes if isinstance(node, Equal) and isinstance(node.values, References)
    ]
    assert targets == [
        "HealthcareService",
        "Location",
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "RelatedPerson",
    ]


def test_chain_looks_into_contained_resources(ask: Ask) -> None:
    family = TextStarts("family", ("x",))
    assert ask.where("PractitionerRole", "practitioner.family=x") == Or(
        (
            Equal("practitioner", References("Practitioner", family)),
            TextStarts("practitioner:Practitioner.family", ("x",)),
        )
    )


def test_what_is_not_so_in_a_contained_resource_needs_one(ask: Ask) -> None:
    where = ask.where("PractitionerRole", "practitioner.active:not=true")
    assert isinstance(where, Or)
    assert where.nodes[1] == And(
        (
            Present("practitioner:Practitioner._id"),
            Not(Equal("practitioner:Practitioner.active", ("true\x1f",))),
        )
    )


def test_approximate_dates_are_measured_from_now(ask: Ask) -> None:
    where = ask.query("Task", "authored-on=ap2031-05-14", now=MAY_14 - 10 * DAY).where
    assert where == Spans("authored-on", (Bounds(low_below=MAY_14 + 2 * DAY, high_above=MAY_14 - DAY),))


def test_sort_keys(ask: Ask) -> None:
    assert ask.query("Slot", "_sort=start,-status,_id,-_lastUpdated").sort == (
        SortBy("start", "span"),
        SortBy("status", "equality", True),
        SortBy("_id", "id"),
        SortBy("_lastUpdated", "updated", True),
    )
    assert ask.query("Location", "near=47|6|1|km&_sort=near,name").sort == (
        SortBy("near", "near", False, (47.0, 6.0)),
        SortBy("name", "text"),
    )


def test_compartment_adds_membership(ask: Ask, registry: Registry) -> None:
    request = ask.request("Appointment", "status=booked")
    query = compartment_query(request, "Patient", "1", registry, PARIS, (BASE,), NOW)
    assert query == Query(
        ("Appointment",),
        And(
            (
                Equal("compartment:Patient", ("Patient/1",)),
                Equal("status", ("booked\x1fhttp://hl7.org/fhir/appointmentstatus",)),
            )
        ),
    )


def test_compartment_types_are_served_ones(registry: Registry) -> None:
    types = compartment_types(registry, "Patient")
    assert {"Appointment", "CareTeam", "Patient"} <= set(types) <= registry.types
    assert "Slot" not in types


@pytest.mark.parametrize("compound", COMPOUNDS, ids=lambda compound: compound.name)
def test_compound_is_sound(registry: Registry, compound: Compound) -> None:
    """Its span is single and no more than one part is a list, so entries do not multiply (MongoDB needs that too)."""
    parameters, structures = registry.parameters(compound.type), registry.structures
    assert is_single(leaves(parameters[compound.span], compound.type, structures))
    lists = [code for code in compound.parts if not is_single(leaves(parameters[code], compound.type, structures))]
    assert len(lists) <= 1


@pytest.mark.parametrize(
    ("type_", "query", "compound"),
    [
        ("Schedule", "_has:Slot:schedule:start=ge2031-05-14", "schedule+start"),
        ("Schedule", "_has:Slot:schedule:start=lt2031,gt2032", "schedule+start"),
        ("Schedule", "_has:Slot:schedule:status=free", "schedule+status+start"),
        ("Schedule", "_has:Slot:schedule:status:not=free", ""),
        ("Practitioner", "_has:Appointment:actor:status=booked", "actor+status+date"),
        ("Schedule", "_has:Slot:schedule:start:missing=false", ""),
        ("Practitioner", "_has:Appointment:actor:date=ge2031-05-14", "actor+date"),
        ("Practitioner", "_has:Appointment:practitioner:date=ge2031-05-14", ""),
    ],
)
def test_window_or_value_of_what_refers_here_is_in_a_compound(ask: Ask, type_: str, query: str, compound: str) -> None:
    node = ask.where(type_, query)
    assert isinstance(node, ReferredBy)
    assert node.compound == compound
    assert [node.window(), node.values()].count(None) == (1 if compound else 2)
    assert (node.window() or node.values() or node.where) == node.where
