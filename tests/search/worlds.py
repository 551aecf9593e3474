"""Small worlds of resources that refer to each other, and searches that have something to find in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from fhir_server.definitions.registry import DEFAULT_TYPES, Registry
from tests.search.asking import BASE
from tests.search.oracle import COMPARTMENT

Resource = dict[str, Any]
Pairs = list[tuple[str, str]]

S1, S2 = "http://example.org/codes-1", "http://example.org/codes-2"
UNITS = {
    "Slot": 3,
    "Schedule": 2,
    "Practitioner": 3,
    "PractitionerRole": 3,
    "Organization": 3,
    "Location": 2,
    "Task": 3,
    "Observation": 3,
    "RiskAssessment": 2,
}
"""How many of each type a world has: ids are Slot-1, Slot-2 …"""

DATES = (
    *("2031", "2031-05", "2031-03", "2031-05-14", "2031-05-20", "2032", "2031-03-30", "2031-10-26"),
    *("2031-05-14T12:00:00Z", "2031-05-14T12:00:30.500Z", "2031-05-14T14:00:00+02:00", "2031-05-20T00:30:00+14:00"),
)
INSTANTS = (
    *("2031-05-14T10:00:00Z", "2031-05-14T10:00:00.250Z", "2031-05-14T12:30:00+02:00"),
    *("2031-05-15T01:30:00+14:00", "2031-03-30T01:30:00Z", "2031-10-26T02:30:00+01:00", "2031-10-26T02:30:00+02:00"),
)
SEARCHED_DATES = (*DATES, *INSTANTS, "2031-05-14T12:00", "2031-10-26T02:30", "2031-03-30T02:30:00", "2026-01-04")
PREFIXES = ("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
UPDATED = ("2026-01-05T08:00:05.000Z", "2026-01-05T08:00:05.250Z", "2026-01-05T08:00:09.000Z")
SEARCHED_UPDATED = (
    *("2026-01-05", "2026-01", "2026-01-05T08:00:05Z", "2026-01-05T09:00:05.250+01:00", "2026-01-05T09:00"),
    *("2026-01-05T08:00:09.000Z", "2027"),
)
NUMBERS = ("0.5", "0.50", "0.05", "1", "100", "0", "0.1")
NAMES = (
    "Martin",
    "MARTINEZ",
    "Saint-Martin",
    "Éluard",
    "eluard",
    "L'Isle",
    "Dupont, fils",
    "Cash$Flow",
    "100 %",
    "œuvre",
)
SEARCHED_NAMES = (
    "mart",
    "MARTÍN",
    "saint m",
    "elu",
    "Eluard",
    "l isle",
    "Dupont\\, f",
    "Cash\\$F",
    "100 %",
    "%",
    "oeuv",
    "x",
)
CODES = ("c1", "c2", "c,3|x")


def refer(type_: str) -> st.SearchStrategy[str]:
    """A literal reference to one of a type: relative, absolute, of one version, of another server, or to nothing."""
    ids = st.integers(1, UNITS[type_] + 1).map(lambda number: f"{type_}/{type_}-{number}")
    return st.one_of(
        ids,
        ids,
        ids.map(lambda text: f"{BASE}/{text}"),
        ids.map(lambda text: f"{text}/_history/2"),
        ids.map(lambda text: f"http://other.example/fhir/{text}"),
    )


def _some(strategy: st.SearchStrategy[Any], most: int = 2) -> st.SearchStrategy[list[Any]]:
    return st.lists(strategy, min_size=1, max_size=most)


def _resource(type_: str, always: dict[str, Any], sometimes: dict[str, Any]) -> st.SearchStrategy[Resource]:
    fields: dict[str, Any] = {"resourceType": st.just(type_), **always}
    return st.fixed_dictionaries(fields, optional={"meta": META, **sometimes})


coding = st.fixed_dictionaries(
    {},
    optional={"system": st.sampled_from((S1, S2)), "code": st.sampled_from(CODES), "display": st.sampled_from(NAMES)},
).map(lambda one: one or {"code": "c1"})
concept = st.one_of(
    st.fixed_dictionaries({"coding": _some(coding)}, optional={"text": st.sampled_from(NAMES)}),
    st.fixed_dictionaries({"text": st.sampled_from(NAMES)}),
)
identifier = st.fixed_dictionaries(
    {"value": st.sampled_from(CODES)},
    optional={
        "system": st.sampled_from((S1, S2)),
        "type": st.fixed_dictionaries({"coding": _some(st.just({"system": S1, "code": "PRN"}))}),
    },
)
META = st.fixed_dictionaries(
    {},
    optional={
        "tag": _some(coding),
        "profile": _some(st.sampled_from(("http://example.org/p", "http://example.org/p/q", "http://example.org/p|1"))),
        "source": st.sampled_from(("http://example.org/s", "http://example.org/s/more", "http://example.org/some")),
    },
).map(lambda one: one or {"source": "http://example.org/s"})
name = st.fixed_dictionaries({"family": st.sampled_from(NAMES)}, optional={"given": _some(st.sampled_from(NAMES))})


def reference(*types: str) -> st.SearchStrategy[Resource]:
    literal = st.one_of([refer(type_) for type_ in types]).map(lambda text: {"reference": text})
    return st.one_of(
        literal, literal, literal, identifier.map(lambda one: {"identifier": one}), st.just({"display": "x"})
    )


@st.composite
def periods(draw: st.DrawFn) -> Resource:
    """A period, open or not, whose end is not before its start."""
    years = ("2030", "2031-03", "2031-05-14", "2031-05-14T12:00:00Z", "2031-05-20", "2032")
    start, end = sorted((draw(st.integers(0, len(years) - 1)), draw(st.integers(0, len(years) - 1))))
    period = {"start": years[start], "end": years[end]}
    return {name: period[name] for name in draw(st.sampled_from((("start",), ("end",), ("start", "end"))))}


UCUM = "http://unitsofmeasure.org"
stored_number = st.sampled_from((0, 0.5, 0.05, 0.54, 0.1, 1, 1.2, 100))


@st.composite
def predictions(draw: st.DrawFn) -> Resource:
    """A probability: a number, or a range of percentages, open or not."""
    if draw(st.booleans()):
        return {"probabilityDecimal": draw(stored_number)}
    low, high = sorted((draw(stored_number), draw(stored_number)))
    ends = {"low": low, "high": high}
    chosen = draw(st.sampled_from((("low",), ("high",), ("low", "high"))))
    return {"probabilityRange": {end: {"value": ends[end], "system": UCUM, "code": "%"} for end in chosen}}


RESOURCES: dict[str, st.SearchStrategy[Resource]] = {
    "Slot": _resource(
        "Slot",
        {
            "schedule": reference("Schedule"),
            "status": st.sampled_from(("free", "busy")),
            "start": st.sampled_from(INSTANTS),
            "end": st.sampled_from(INSTANTS),
        },
        {"serviceType": _some(concept), "identifier": _some(identifier)},
    ),
    "Schedule": _resource(
        "Schedule",
        {"actor": _some(reference("Practitioner", "PractitionerRole", "Location"))},
        {"active": st.booleans(), "planningHorizon": periods(), "specialty": _some(concept)},
    ),
    "Practitioner": _resource(
        "Practitioner",
        {},
        {
            "identifier": _some(identifier),
            "name": _some(name),
            "active": st.booleans(),
            "gender": st.sampled_from(("male", "female")),
            "telecom": _some(
                st.fixed_dictionaries({"system": st.sampled_from(("phone", "email")), "value": st.sampled_from(CODES)})
            ),
            "address": _some(st.fixed_dictionaries({"city": st.sampled_from(NAMES)})),
        },
    ),
    "PractitionerRole": _resource(
        "PractitionerRole",
        {},
        {
            "practitioner": reference("Practitioner"),
            "organization": reference("Organization"),
            "specialty": _some(concept),
            "active": st.booleans(),
            "period": periods(),
        },
    ),
    "Organization": _resource(
        "Organization",
        {"name": st.sampled_from(NAMES)},
        {"alias": _some(st.sampled_from(NAMES)), "partOf": reference("Organization"), "identifier": _some(identifier)},
    ),
    "Location": _resource(
        "Location",
        {"name": st.sampled_from(NAMES)},
        {
            "status": st.just("active"),
            "managingOrganization": reference("Organization"),
            "position": st.fixed_dictionaries(
                {"latitude": st.sampled_from((47, 47.2, -16.85)), "longitude": st.sampled_from((6, 6.02, 179.99))}
            ),
        },
    ),
    "Observation": _resource(
        "Observation",
        {"status": st.sampled_from(("final", "preliminary")), "code": st.just({"text": "x"})},
        {
            "valueQuantity": st.fixed_dictionaries(
                {"value": stored_number, "unit": st.sampled_from(("kg", "kilos")), "system": st.just(UCUM)},
                optional={
                    "code": st.sampled_from(("kg", "g")),
                    "comparator": st.sampled_from(("<", "<=", ">", ">=")),
                },
            ),
            "performer": _some(reference("Practitioner", "Organization")),
        },
    ),
    "RiskAssessment": _resource(
        "RiskAssessment",
        {"status": st.just("final"), "subject": st.just({"display": "x"})},
        {"prediction": _some(predictions()), "performer": reference("Practitioner", "PractitionerRole")},
    ),
    "Task": _resource(
        "Task",
        {"status": st.sampled_from(("requested", "ready")), "intent": st.just("order")},
        {
            "authoredOn": st.sampled_from(DATES),
            "code": concept,
            "owner": reference("Practitioner", "PractitionerRole", "Organization"),
        },
    ),
}


@st.composite
def worlds(draw: st.DrawFn) -> list[Resource]:
    """Resources with ids, in order of creation."""
    world = []
    for type_, count in UNITS.items():
        for number in range(1, count + 1):
            resource = {**draw(RESOURCES[type_]), "id": f"{type_}-{number}"}
            if type_ in REFERRING and draw(st.integers(0, 3)) == 0:
                resource = _containing(draw, resource)
            resource["meta"] = {**resource.get("meta", {}), "lastUpdated": draw(st.sampled_from(UPDATED))}
            world.append(resource)
    return world


REFERRING = {"Slot": "schedule", "Schedule": "actor", "PractitionerRole": "practitioner"}
"""References that lead to a contained resource now and then."""


def _containing(draw: st.DrawFn, resource: Resource) -> Resource:
    """Return a resource with an agenda or a practitioner of its own; the agenda may be of such a practitioner."""
    code = REFERRING[resource["resourceType"]]
    contained: list[Resource] = [{**draw(RESOURCES["Practitioner"]), "id": "p"}]
    if code == "schedule":
        agenda = {**draw(RESOURCES["Schedule"]), "id": "s"}
        if draw(st.booleans()):
            agenda["actor"] = [{"reference": "#p"}, *agenda["actor"]]
        else:
            contained = []  # what is contained is referred to
        return {**resource, "schedule": {"reference": "#s"}, "contained": [agenda, *contained]}
    mine = {"reference": "#p"}
    return {**resource, code: [mine, *resource["actor"]] if code == "actor" else mine, "contained": contained}


# --- searches --------------------------------------------------------------------------------------------------------

_escaped = st.sampled_from([code.replace(",", "\\,").replace("|", "\\|") for code in CODES])
_tokens = st.one_of(
    _escaped,
    st.tuples(st.sampled_from((S1, S2, "")), _escaped).map("|".join),
    st.sampled_from((f"{S1}|", f"{S2}|")),
)
_dates = st.tuples(st.sampled_from(PREFIXES), st.sampled_from(SEARCHED_DATES)).map("".join)

_numbers = st.tuples(st.sampled_from(PREFIXES), st.sampled_from(NUMBERS)).map("".join)
_quantities = st.tuples(_numbers, st.sampled_from(("", f"|{UCUM}|kg", "||kg", "||kilos", f"|{UCUM}|g"))).map("".join)
_updated = st.tuples(st.sampled_from(PREFIXES[:-1]), st.sampled_from(SEARCHED_UPDATED)).map("".join)


def _choice(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, min_size=1, max_size=2).map(",".join)


def _fixed(*values: str) -> st.SearchStrategy[str]:
    return _choice(st.sampled_from(values))


def _references(*types: str) -> st.SearchStrategy[str]:
    """References to some types and, now and then, to one that nothing here refers to."""
    literal = st.one_of([refer(type_) for type_ in types])
    ids = st.sampled_from([f"{type_}-1" for type_ in types])
    return _choice(st.one_of(literal, literal, ids, ids, refer("Slot")))


_strings = _choice(st.sampled_from(SEARCHED_NAMES))
_missing = st.sampled_from(("true", "false"))

CRITERIA: dict[str, dict[str, st.SearchStrategy[str]]] = {
    "Slot": {
        "status": _fixed("free", "busy", "http://hl7.org/fhir/slotstatus|free", "|busy", "http://example.org|free"),
        "status:not": _fixed("free", "busy"),
        "start": _choice(_dates),
        "end": _dates,
        "service-type": _choice(_tokens),
        "service-type:not": _choice(_tokens),
        "service-type:text": _strings,
        "service-type:missing": _missing,
        "identifier": _choice(_tokens),
        "identifier:of-type": st.sampled_from((f"{S1}|PRN|c1", f"{S1}|PRN|c2", f"{S2}|PRN|c1")),
        "schedule": _references("Schedule"),
    },
    "Schedule": {
        "active": _fixed("true", "false"),
        "active:not": _fixed("true"),
        "date": _choice(_dates),
        "date:missing": _missing,
        "actor": _references("Practitioner", "Location"),
        "actor:Practitioner": st.sampled_from(("Practitioner-1", "Practitioner/Practitioner-2", f"{BASE}/Location/1")),
        "actor:identifier": _choice(_tokens),
        "actor:missing": _missing,
        "specialty": _choice(_tokens),
    },
    "Practitioner": {
        "identifier": _choice(_tokens),
        "name": _strings,
        "family": _strings,
        "family:exact": _fixed("Martin", "Éluard", "Eluard"),
        "given:contains": _strings,
        "address-city:missing": _missing,
        "telecom": _choice(_tokens),
        "gender": _fixed("male", "female"),
        "active:missing": _missing,
    },
    "PractitionerRole": {
        "practitioner": _references("Practitioner"),
        "practitioner:missing": _missing,
        "practitioner:identifier": _tokens,
        "specialty:text": _strings,
        "date": _choice(_dates),
        "active": _fixed("true"),
    },
    "Organization": {
        "name": _strings,
        "name:contains": _strings,
        "identifier": _choice(_tokens),
        "partof": _references("Organization"),
        "partof:missing": _missing,
        "type:missing": _missing,
    },
    "Location": {
        "name": _strings,
        "near": _fixed("47|6|10|km", "47|6|30", "-16.85|-179.99|10|km", "47.2|6.02|1|m"),
        "near:missing": _missing,
        "organization": _references("Organization"),
    },
    "Observation": {
        "value-quantity": _choice(_quantities),
        "value-quantity:missing": _missing,
        "performer": _references("Practitioner", "Organization"),
        "status": _fixed("final", "amended"),
    },
    "RiskAssessment": {
        "probability": _choice(_numbers),
        "probability:missing": _missing,
        "performer": _references("Practitioner"),
    },
    "Task": {
        "authored-on": _choice(_dates),
        "authored-on:missing": _missing,
        "code": _choice(_tokens),
        "owner": _references("Practitioner", "Organization"),
    },
}
_COMMON = {
    "_tag": _choice(_tokens),
    "_tag:not": _tokens,
    "_profile": _fixed("http://example.org/p", "http://example.org/p|1"),
    "_profile:below": _fixed("http://example.org/p", "http://example.org"),
    "_profile:above": _fixed("http://example.org/p/q/r"),
    "_source:missing": _missing,
    "_source:below": _fixed("http://example.org/s"),
    "_lastUpdated": _choice(_updated),
    "_lastUpdated:missing": _missing,
}
LINKS = {
    ("Slot", "schedule"): ("Schedule",),
    ("Schedule", "actor"): ("Practitioner", "PractitionerRole", "Location"),
    ("PractitionerRole", "practitioner"): ("Practitioner",),
    ("PractitionerRole", "organization"): ("Organization",),
    ("Organization", "partof"): ("Organization",),
    ("Location", "organization"): ("Organization",),
    ("Observation", "performer"): ("Practitioner", "Organization"),
    ("RiskAssessment", "performer"): ("Practitioner", "PractitionerRole"),
    ("Task", "owner"): ("Practitioner", "PractitionerRole", "Organization"),
}
"""References of the worlds, and the types that they lead to there."""

SORTS = {
    "Slot": ("start", "-end", "_id", "status", "-status"),
    "Schedule": ("date", "-date", "active"),
    "Practitioner": ("family", "-name", "_id", "gender"),
    "PractitionerRole": ("-date", "active"),
    "Organization": ("name", "-name", "-_lastUpdated"),
    "Location": ("-name", "-_id"),
    "Task": ("authored-on", "-authored-on", "_lastUpdated", "_source"),
    "Observation": ("value-quantity", "-value-quantity", "-status"),
    "RiskAssessment": ("probability", "-probability", "-_source"),
}


def _includes(type_: str) -> st.SearchStrategy[tuple[str, str]]:
    """What may ride along with matches of a type, or with what rides along."""
    links = [(base, code, target) for (base, code), types in LINKS.items() for target in types]
    out = [link for link in links if link[0] == type_]
    back = [link for link in links if link[2] == type_]
    ways = [*(("_include", link) for link in out), *(("_revinclude", link) for link in back)]
    forms = st.sampled_from(("{}:{}", "{}:{}", "{}:{}:{}", "{}:*", "*"))
    first = st.tuples(st.sampled_from(ways), forms).map(lambda way: (way[0][0], way[1].format(*way[0][1])))
    names = st.sampled_from(("_include:iterate", "_revinclude:iterate"))
    further = st.tuples(names, st.sampled_from(links), forms).map(lambda way: (way[0], way[2].format(*way[1])))
    return st.one_of(first, first, further)


@st.composite
def criterion(draw: st.DrawFn, type_: str, depth: int = 2) -> tuple[str, str]:
    """A name and a value that make sense on a type: plain, chained, or from the other end."""
    kind = draw(st.integers(0, 5))
    away = [code for base, code in LINKS if base == type_]
    towards = [(base, code) for (base, code), types in LINKS.items() if type_ in types]
    if kind == 0 and depth and away:
        code = draw(st.sampled_from(away))
        target = draw(st.sampled_from(LINKS[type_, code]))
        rest, value = draw(criterion(target, depth - 1))
        return f"{code}:{target}.{rest}", value
    if kind == 1 and depth and towards:
        base, code = draw(st.sampled_from(towards))
        rest, value = draw(criterion(base, depth - 1))
        return f"_has:{base}:{code}:{rest}", value
    if kind == 2:
        chosen = draw(st.sampled_from(sorted(_COMMON)))
        return chosen, draw(_COMMON[chosen])
    if kind == 3:
        return draw(st.sampled_from(("_id", "_id:not"))), f"{type_}-1"
    chosen = draw(st.sampled_from(sorted(CRITERIA[type_])))
    return chosen, draw(CRITERIA[type_][chosen])


@dataclass(frozen=True)
class Asked:
    """A search: a type, the pairs of its query, and the practitioner whose compartment it is inside of, if any."""

    type: str
    pairs: Pairs
    whose: str | None = None


@st.composite
def searches(draw: st.DrawFn) -> Asked:
    """Up to three criteria, perhaps with an order, perhaps with what rides along, now and then in a compartment."""
    type_ = draw(st.sampled_from(sorted(UNITS)))
    pairs = draw(st.lists(criterion(type_), max_size=3))
    sorts = SORTS[type_]
    if any(name == "near" for name, _ in pairs):
        sorts = (*sorts, "near", "-near")
        places = [pair for pair in pairs if pair[0] == "near"]
        pairs = [*(pair for pair in pairs if pair[0] != "near"), (places[0][0], places[0][1].partition(",")[0])]
    if draw(st.booleans()):
        pairs.append(("_sort", ",".join(draw(st.lists(st.sampled_from(sorts), min_size=1, max_size=2)))))
    if draw(st.integers(0, 2)) == 0:
        pairs += draw(st.lists(_includes(type_), min_size=1, max_size=3))
    whose = "Practitioner-1" if type_ in COMPARTMENT or type_ == "Practitioner" else None
    return Asked(type_, pairs, whose if draw(st.integers(0, 3)) == 0 else None)


# --- the server of the worlds ----------------------------------------------------------------------------------------

TYPES = frozenset((*DEFAULT_TYPES, *UNITS))
"""The types that it serves."""


def targets(registry: Registry) -> dict[tuple[str, str], list[str]]:
    """Return the types that each reference may lead to."""
    return {
        (type_, code): sorted(parameter.targets or registry.types)
        for type_ in UNITS
        for code, parameter in registry.parameters(type_).items()
        if parameter.type == "reference"
    }
