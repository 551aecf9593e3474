"""FHIRPath Patch: each operation, what its values may be, what is refused. https://hl7.org/fhir/R4/fhirpatch.html"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.definitions.structures import Structures
from fhir_server.interactions.patching.fhirpath_document import PATH_LENGTH, PATHS_LENGTH
from fhir_server.interactions.patching.fhirpath_patch import parse_fhirpath_patch
from fhir_server.interactions.patching.json_patch import duplicate
from fhir_server.model.formats import MAX_DEPTH, parse, serialize
from fhir_server.outcome import BadRequest, FhirError, TooLarge, Unprocessable

STRUCTURES = Structures.load()
PATIENT = b"""{"resourceType":"Patient","id":"p","contained":[{"resourceType":"Organization","id":"o","name":"Org"}],
"extension":[{"url":"urn:e","valueCode":"x"}],"active":true,
"identifier":[{"system":"urn:a","value":"1"},{"system":"urn:b","value":"2"},{"system":"urn:c","value":"3"}],
"name":[{"use":"official","family":"Martin","given":["Anne",null,"Zoe"],"_given":[null,{"id":"g"},null]},{"text":"AM"}],
"gender":"female","birthDate":"1970-02-03","_birthDate":{"extension":[{"url":"urn:time","valueTime":"08:00:00"}]},
"deceasedBoolean":false,"contact":[{"name":{"text":"a name"},"gender":"male"}],
"managingOrganization":{"reference":"#o"}}"""


def part(name: str, **value: Any) -> dict[str, Any]:
    return {"name": name, **value}


def parts(name: str, *inner: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "part": list(inner)}


def op(type_: str, path: str, *more: dict[str, Any], **numbers: int) -> dict[str, Any]:
    """Return one operation; ``more`` are its value, and its name where there is one."""
    listed = [part(name, valueInteger=number) for name, number in numbers.items()]
    return parts("operation", part("type", valueCode=type_), part("path", valueString=path), *more, *listed)


def add(path: str, name: str, value: dict[str, Any]) -> dict[str, Any]:
    return op("add", path, part("name", valueString=name), value)


def value(**given: Any) -> dict[str, Any]:
    return part("value", **given)


def document(*operations: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(operations)}


def patched(*operations: Any, resource: bytes = PATIENT) -> Any:
    return parse_fhirpath_patch(document(*operations), "Patient", STRUCTURES).apply(parse(resource))


ORGANIZATION = {"reference": "Organization/1"}
KNOWN = {"url": "urn:k", "valueQuantity": {"value": 3}}


@pytest.mark.parametrize(
    ("operation", "path", "expected"),
    [
        # add
        (add("Patient", "maritalStatus", value(valueCodeableConcept={"text": "m"})), ("maritalStatus",), {"text": "m"}),
        (add("$this", "multipleBirth", value(valueInteger=2)), ("multipleBirthInteger",), 2),
        (add("Patient", "multipleBirthBoolean", value(valueBoolean=True)), ("multipleBirthBoolean",), True),
        (add("Patient", "identifier", value(valueIdentifier={"value": "4"})), ("identifier", 3), {"value": "4"}),
        (add("Patient", "telecom", value(valueContactPoint={"value": "t"})), ("telecom",), [{"value": "t"}]),
        (
            add("Patient.contact[0]", "telecom", value(valueContactPoint={"value": "t"})),
            ("contact", 0, "telecom", 0, "value"),
            "t",
        ),
        (add("Patient.contact.name", "family", value(valueString="F")), ("contact", 0, "name", "family"), "F"),
        (
            add("Patient.name.first()", "given", value(valueString="B")),
            ("name", 0, "given"),
            ["Anne", None, "Zoe", "B"],
        ),
        (
            add("Patient.name[1]", "given", value(valueString="B", _valueString={"id": "i"})),
            ("name", 1, "_given"),
            [{"id": "i"}],
        ),
        (add("Patient.name.where(use = 'official')", "suffix", value(valueString="S")), ("name", 0, "suffix"), ["S"]),
        (add("Patient.contained", "alias", value(valueString="A")), ("contained", 0, "alias"), ["A"]),
        (
            add("Patient.managingOrganization.resolve()", "active", value(valueBoolean=False)),
            ("contained", 0, "active"),
            False,
        ),
        # add: values that only parts can say
        (
            add(
                "Patient",
                "contact",
                parts("value", parts("name", part("text", valueString="b")), part("gender", valueCode="other")),
            ),
            ("contact", 1),
            {"name": {"text": "b"}, "gender": "other"},
        ),
        (
            add(
                "Patient",
                "contact",
                parts(
                    "value",
                    part("name", valueHumanName={"text": "b"}),
                    *[part("telecom", valueContactPoint={"rank": n}) for n in (1, 2)],
                ),
            ),
            ("contact", 1),
            {"name": {"text": "b"}, "telecom": [{"rank": 1}, {"rank": 2}]},
        ),
        (
            add(
                "Patient",
                "extension",
                parts("value", part("url", valueUri="urn:k"), part("value", valueQuantity={"value": 3})),
            ),
            ("extension", 1),
            KNOWN,
        ),
        (
            add(
                "Patient",
                "extension",
                parts(
                    "value",
                    part("url", valueUri="urn:o"),
                    *[parts("extension", part("url", valueString=u), part("valueString", valueString=u)) for u in "ab"],
                ),
            ),
            ("extension", 1),
            {"url": "urn:o", "extension": [{"url": "a", "valueString": "a"}, {"url": "b", "valueString": "b"}]},
        ),
        (
            add(
                "Patient.birthDate",
                "extension",
                parts("value", part("url", valueUri="urn:k"), part("value", valueQuantity={"value": 3})),
            ),
            ("_birthDate", "extension", 1),
            KNOWN,
        ),
        (
            add(
                "Patient.gender",
                "extension",
                parts("value", part("url", valueUri="urn:k"), part("value", valueQuantity={"value": 3})),
            ),
            ("_gender", "extension"),
            [KNOWN],
        ),
        (
            add(
                "Patient.contact.name",
                "family",
                parts(
                    "value",
                    parts("extension", part("url", valueUri="urn:k"), part("value", valueQuantity={"value": 3})),
                ),
            ),
            ("contact", 0, "name"),
            {"text": "a name", "_family": {"extension": [KNOWN]}},
        ),
        (
            add("Patient", "contained", part("value", resource={"resourceType": "Group", "id": "g"})),
            ("contained", 1, "id"),
            "g",
        ),
        # insert
        *[
            (
                op("insert", "Patient.identifier", value(valueIdentifier={"value": "x"}), index=at),
                ("identifier", at, "value"),
                "x",
            )
            for at in range(4)
        ],
        (
            op("insert", "Patient.telecom", value(valueContactPoint={"value": "t"}), index=0),
            ("telecom",),
            [{"value": "t"}],
        ),
        (
            op("insert", "name[0].given", value(valueString="B"), index=1),
            ("name", 0),
            {
                "use": "official",
                "family": "Martin",
                "given": ["Anne", "B", None, "Zoe"],
                "_given": [None, None, {"id": "g"}, None],
            },
        ),
        (op("insert", "identifier", value(valueIdentifier={"value": "x"}), index=0), ("identifier", 0, "value"), "x"),
        # delete
        (op("delete", "Patient.identifier.where(system = 'urn:b')"), ("identifier", 1, "value"), "3"),
        (op("delete", "Patient.identifier[2]"), ("identifier", -1, "value"), "2"),
        (
            op("delete", "Patient.name[0].given[0]"),
            ("name", 0),
            {"use": "official", "family": "Martin", "given": [None, "Zoe"], "_given": [{"id": "g"}, None]},
        ),
        (op("delete", "Patient.name[0].given.last()"), ("name", 0, "given"), ["Anne", None]),
        (
            op("delete", "Patient.name.given[1]"),
            ("name", 0),
            {"use": "official", "family": "Martin", "given": ["Anne", "Zoe"]},
        ),
        (op("delete", "Patient.birthDate.extension('urn:time')"), ("birthDate",), "1970-02-03"),
        (op("delete", "Patient.contact[0].name.text"), ("contact",), [{"gender": "male"}]),
        (op("delete", "Patient.photo"), ("active",), True),
        (op("delete", "Patient.identifier.where(system = 'urn:none')"), ("active",), True),
        # replace
        (op("replace", "Patient.birthDate", value(valueDate="1971")), ("birthDate",), "1971"),
        (op("replace", "birthDate", value(valueString="1971")), ("birthDate",), "1971"),
        (op("replace", "Patient.active", value(valueBoolean=False)), ("active",), False),
        (
            op("replace", "Patient.identifier[1]", value(valueIdentifier={"value": "x"})),
            ("identifier", 1),
            {"value": "x"},
        ),
        (
            op("replace", "Patient.identifier.where(value = '2').system", value(valueUri="urn:x")),
            ("identifier", 1, "system"),
            "urn:x",
        ),
        (
            op("replace", "Patient.name.given.where($this.startsWith('Z'))", value(valueString="Z")),
            ("name", 0, "given"),
            ["Anne", None, "Z"],
        ),
        (op("replace", "Patient.deceased", value(valueBoolean=True)), ("deceasedBoolean",), True),
        (op("replace", "Patient.deceased", value(valueDateTime="2020")), ("deceasedDateTime",), "2020"),
        (
            op("replace", "Patient.extension('urn:e').value", value(valueCoding={"code": "y"})),
            ("extension", 0),
            {"url": "urn:e", "valueCoding": {"code": "y"}},
        ),
        (op("replace", "Patient.extension[0].url", value(valueUri="urn:f")), ("extension", 0, "url"), "urn:f"),
        (
            op("replace", "Patient.managingOrganization", value(valueReference=ORGANIZATION)),
            ("managingOrganization",),
            ORGANIZATION,
        ),
        (
            op("replace", "Patient.managingOrganization.reference", value(valueString="Organization/1")),
            ("managingOrganization",),
            ORGANIZATION,
        ),
        (
            op("replace", "Patient.contact[0]", parts("value", part("gender", valueCode="other"))),
            ("contact",),
            [{"gender": "other"}],
        ),
        (op("replace", "Patient.contained.name", value(valueString="X")), ("contained", 0, "name"), "X"),
        # move
        *[
            (
                op("move", "Patient.identifier", source=source, destination=destination),
                ("identifier",),
                [{"system": f"urn:{'abc'[n - 1]}", "value": str(n)} for n in order],
            )
            for source, destination, order in [
                (0, 2, (2, 3, 1)),
                (2, 0, (3, 1, 2)),
                (1, 1, (1, 2, 3)),
                (0, 1, (2, 1, 3)),
            ]
        ],
        (
            op("move", "Patient.name[0].given", source=1, destination=0),
            ("name", 0, "_given"),
            [{"id": "g"}, None, None],
        ),
    ],
)
def test_operation_changes_its_place(operation: Any, path: tuple[str | int, ...], expected: Any) -> None:
    found = patched(operation)
    for step in path:
        found = found[step]
    assert found == expected


def test_everything_else_stays_as_it_was_written() -> None:
    resource = PATIENT.replace(b'"valueCode":"x"', b'"valueDecimal":72.50')
    before = serialize(parse(resource))
    assert serialize(patched(resource=resource)) == before
    changed = patched(op("replace", "Patient.gender", value(valueCode="male")), resource=resource)
    assert serialize(changed) == before.replace(b'"female"', b'"male"')
    changed = patched(op("replace", "Patient.deceased", value(valueDateTime="2020")), resource=resource)
    assert serialize(changed) == before.replace(b'"deceasedBoolean":false', b'"deceasedDateTime":"2020"')


def test_operations_see_what_those_before_have_done() -> None:
    found = patched(
        op("delete", "Patient.identifier[0]"),
        op("delete", "Patient.identifier[0]"),
        op("delete", "Patient.identifier[0]"),
        op("insert", "Patient.identifier", value(valueIdentifier={"value": "b"}), index=0),
        add("Patient", "identifier", value(valueIdentifier={"value": "c"})),
        op("move", "Patient.identifier", source=1, destination=0),
        add("Patient.identifier.where(value = 'c')", "system", value(valueUri="urn:c")),
        op("delete", "Patient.deceased"),
        add("Patient", "deceased", value(valueDateTime="2020", _valueDateTime={"id": "d"})),
        op("replace", "Patient.deceased.id", value(valueString="e")),
        op("delete", "Patient.contact[0].gender"),
        op("delete", "Patient.contact[0].name.text"),
    )
    assert found["identifier"] == [{"value": "c", "system": "urn:c"}, {"value": "b"}]
    assert (found["deceasedDateTime"], found["_deceasedDateTime"]) == ("2020", {"id": "e"})
    assert "contact" not in found
    assert "deceasedBoolean" not in found


def test_replaced_primitive_takes_its_extensions_with_it() -> None:
    assert "_birthDate" not in patched(op("replace", "Patient.birthDate", value(valueDate="1971")))


def test_deleted_primitive_takes_its_extensions_with_it() -> None:
    found = patched(op("delete", "Patient.birthDate"))
    assert "birthDate" not in found
    assert "_birthDate" not in found


def test_patch_can_be_applied_again() -> None:
    patch = parse_fhirpath_patch(
        document(
            add("Patient", "maritalStatus", value(valueCodeableConcept={"text": "m"})),
            op("replace", "Patient.maritalStatus.text", value(valueString="n")),
        ),
        "Patient",
        STRUCTURES,
    )
    resource = parse(PATIENT)
    assert patch.apply(resource) == patch.apply(resource)
    assert serialize(resource) == serialize(parse(PATIENT))


@pytest.mark.parametrize(
    "operation",
    [
        # no element, or several
        op("replace", "Patient.maritalStatus", value(valueCodeableConcept={"text": "m"})),
        op("replace", "Patient.identifier", value(valueIdentifier={"value": "x"})),
        op("delete", "Patient.identifier"),
        add("Patient.maritalStatus", "text", value(valueString="t")),
        add("Patient.identifier", "value", value(valueString="t")),
        op("insert", "Patient.identifier.extension", value(valueString="t"), index=0),
        op("move", "Patient.photo", source=0, destination=0),
        # not an element of the resource
        op("delete", "Patient"),
        op("replace", "Patient", value(valueString="x")),
        op("replace", "Patient.active = true", value(valueBoolean=False)),
        op("delete", "'text'"),
        op("delete", "Patient.name.count()"),
        add("'text'", "extension", value(valueString="x")),
        add("Patient.id", "extension", value(valueString="x")),
        # not there to be filled
        add("Patient", "gender", value(valueCode="male")),
        add("Patient", "deceased", value(valueDateTime="2020")),
        add("Patient", "frobnicate", value(valueString="x")),
        add("Patient", "", value(valueString="x")),
        add("Patient.gender", "value", value(valueString="x")),
        op("insert", "Patient.gender", value(valueCode="male"), index=0),
        op("move", "Patient.gender", source=0, destination=0),
        # indices out of bounds
        op("insert", "Patient.identifier", value(valueIdentifier={"value": "x"}), index=4),
        op("insert", "Patient.identifier", value(valueIdentifier={"value": "x"}), index=-1),
        op("insert", "Patient.telecom", value(valueContactPoint={"value": "x"}), index=1),
        op("move", "Patient.identifier", source=3, destination=0),
        op("move", "Patient.identifier", source=0, destination=3),
        op("move", "Patient.identifier", source=-1, destination=0),
        # values of a wrong type
        add("Patient", "identifier", value(valueHumanName={"text": "x"})),
        add("Patient", "maritalStatus", value(valueString="m")),
        add("Patient", "multipleBirth", value(valueString="two")),
        add("Patient", "multipleBirthInteger", value(valueBoolean=True)),
        add("Patient", "contact", value(valueString="c")),
        add("Patient", "contained", value(valueString="c")),
        add(
            "Patient",
            "extension",
            parts("value", part("url", valueUri="u"), parts("value", part("text", valueString="?"))),
        ),
        add("Patient", "contact", parts("value")),
        add("Patient", "contact", parts("value", part("frobnicate", valueString="x"))),
        add("Patient", "contact", parts("value", part("gender", valueCode="male"), part("gender", valueCode="male"))),
        op("replace", "Patient.gender", value(valueCodeableConcept={"text": "m"})),
        op("replace", "Patient.deceased", value(valueString="yes")),
        op("replace", "Patient.name[1]", value(valueIdentifier={"value": "x"})),
    ],
)
def test_operation_that_cannot_be_applied_is_unprocessable(operation: Any) -> None:
    with pytest.raises(Unprocessable) as caught:
        patched(op("delete", "Patient.photo"), operation)
    (issue,) = caught.value.issues
    assert (issue.id, issue.expression) == ("patch-operation", ("Parameters.parameter[1]",))
    assert "Martin" not in issue.diagnostics


TYPE, PATH = part("type", valueCode="delete"), part("path", valueString="Patient.photo")


@pytest.mark.parametrize(
    "parameters",
    [
        None,
        [],
        {"resourceType": "Patient"},
        {"parameter": []},
        {"resourceType": "Parameters", "parameter": {}},
        document(None),
        document(parts("operations", TYPE, PATH)),
        document({"name": "operation"}),
        document({"name": "operation", "part": {}}),
        document(parts("operation", TYPE)),
        document(parts("operation", PATH)),
        document(parts("operation", TYPE, PATH, PATH)),
        document(parts("operation", TYPE, PATH, part("frobnicate", valueString="x"))),
        document(parts("operation", part("type", valueCode="frobnicate"), PATH)),
        document(parts("operation", TYPE, part("path", valueInteger=1))),
        document(parts("operation", TYPE, part("path", valueString="x", valueCode="x"))),
        document(parts("operation", TYPE, {"valueString": "x"})),
        document(op("add", "Patient", value(valueString="x"))),
        document(op("add", "Patient", part("name", valueString="x"))),
        document(op("replace", "Patient.gender")),
        document(op("insert", "Patient.identifier", value(valueIdentifier={"value": "x"}))),
        document(
            op("insert", "Patient.identifier", value(valueIdentifier={"value": "x"}), part("index", valueString="1"))
        ),
        document(op("insert", "Patient.identifier[0]", value(valueIdentifier={"value": "x"}), index=0)),
        document(op("move", "Patient.identifier", source=0)),
        document(op("move", "Patient", source=0, destination=0)),
        document(add("Patient", "active", value(valueBoolean="true"))),
        document(add("Patient", "active", value(valueInteger=True))),
        document(add("Patient", "active", value(valueString=1))),
        document(add("Patient", "active", value(valueString=None))),
        document(add("Patient", "active", value(valueFrob="x"))),
        document(add("Patient", "name", value(valueHumanName="x"))),
        document(add("Patient", "name", value(valueHumanName={}))),
        document(add("Patient", "name", value(valueString="x", _valueString="x"))),
        document(add("Patient", "contained", part("value", resource="x"))),
        # paths
        document(op("delete", "Patient.")),
        document(op("delete", "")),
        document(op("delete", "Patient.frobnicate")),
        document(op("delete", "Organization.name[")),
        document(op("delete", "Patient.name.matches('(a+)+$')")),
        document(op("delete", "Patient.descendants().where(id = 'x')")),
        document(op("delete", "Patient.name.where(%resource.name.exists())")),
        document(op("delete", "Patient.name.where(('a' & 'a') = family)")),
        document(op("delete", "Patient.name.select(family)")),
        document(op("delete", "Patient.gender | Patient.birthDate")),
        document(op("delete", "Patient.name.where(use in use)")),
        document(op("delete", "Patient.name.where(family = 'x').where(given.combine(given).exists())")),
        document(op("delete", "Patient.active or " + "true or " * (PATH_LENGTH // 8) + "true")),
        document(op("delete", "(" * 300 + "Patient" + ")" * 300)),
    ],
)
def test_malformed_parameters_are_a_bad_request(parameters: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_fhirpath_patch(parameters, "Patient", STRUCTURES)
    assert caught.value.issues[0].id == "patch-document"


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ({"family": "x", "_family": "y"}, ()),
        ({"family": "x", "_family": [{"id": "y"}]}, ()),
        ({"given": ["x"], "_given": ["y"]}, ()),
        ({"given": [{"a": 1}], "_given": [None]}, ()),
        ({"given": [{"a": 1}, 2]}, ()),
        ({"period": {"start": "2020"}, "_period": {"id": "x"}}, ()),
        ({"given": "x"}, (op("insert", "Patient.name[2].given", value(valueString="y"), index=0),)),
        ({"given": "x"}, (add("Patient.name[2]", "given", value(valueString="y")),)),
        ({"given": {"x": 1}}, (op("move", "Patient.name[2].given", source=0, destination=0),)),
    ],
)
def test_value_that_is_not_of_its_type_is_unprocessable(given: dict[str, Any], then: tuple[Any, ...]) -> None:
    with pytest.raises(Unprocessable):
        patched(add("Patient", "name", value(valueHumanName=given)), *then)


def test_depth_is_bounded() -> None:
    nested: dict[str, Any] = {"url": "urn:x", "valueString": "x"}
    for _ in range(20):
        nested = {"url": "urn:x", "extension": [nested]}
    down = [add("Patient", "maritalStatus", value(valueCodeableConcept={"extension": [nested]}))]
    assert patched(*down)
    deeper = op(
        "replace", "Patient.maritalStatus" + ".extension" * 21 + ".value", value(valueMeta={"extension": [nested]})
    )
    with pytest.raises(Unprocessable) as caught:
        patched(*down, deeper)
    assert str(MAX_DEPTH) in caught.value.issues[0].diagnostics


def test_narrative_can_be_replaced() -> None:
    resource = b'{"resourceType":"Patient","text":{"status":"generated","div":"<div>a</div>"}}'
    found = patched(op("replace", "Patient.text.div", value(valueString="<div>b</div>")), resource=resource)
    assert found["text"] == {"status": "generated", "div": "<div>b</div>"}


def test_work_is_bounded() -> None:
    resource = parse(PATIENT) | {"name": [{"family": str(number)} for number in range(5_000)]}
    rename = op("replace", "Patient.name.where(family = '4999').family", value(valueString="4999"))
    append = add("Patient", "telecom", value(valueContactPoint={"value": "t"}))
    many = parse_fhirpath_patch(document(*[rename] * 10, *[append] * 500), "Patient", STRUCTURES)
    assert len(many.apply(resource)["telecom"]) == 500
    too_many = parse_fhirpath_patch(document(*[rename] * 1_000), "Patient", STRUCTURES)
    with pytest.raises(TooLarge) as caught:
        too_many.apply(resource)
    assert caught.value.issues[0].id == "patch-limit"


def test_paths_are_bounded_together() -> None:
    paths = [f"Patient.name.where(family = '{number:0400}')" for number in range(PATHS_LENGTH // 400)]
    with pytest.raises(TooLarge):
        parse_fhirpath_patch(document(*[op("delete", path) for path in paths]), "Patient", STRUCTURES)
    parse_fhirpath_patch(document(*[op("delete", path) for path in paths[:1] * 1_000]), "Patient", STRUCTURES)


PATHS = [
    "Patient",
    "Patient.identifier",
    "Patient.identifier[0]",
    "Patient.identifier.where(system = 'urn:a')",
    "Patient.name.given",
    "Patient.name[0].given[1]",
    "Patient.name.given.first()",
    "Patient.deceased",
    "Patient.birthDate",
    "Patient.birthDate.extension",
    "Patient.contact.name",
    "Patient.extension.value",
    "Patient.extension('urn:e').url",
    "Patient.contained.name",
    "birthDate >= '1970'",
]
VALUES = [
    value(valueString="x"),
    value(valueInteger=1),
    value(valueDateTime="2020", _valueDateTime={"extension": [{"url": "u", "valueCode": "c"}]}),
    value(valueIdentifier={"value": "v", "period": {"start": "2020"}}),
    value(valueHumanName={"given": ["a", None], "_given": [None, {"id": "b"}]}),
    value(valueHumanName={"given": "a", "family": [], "_use": [1]}),
    parts("value", part("url", valueUri="u"), part("value", valueCode="c")),
    parts("value", part("name", valueHumanName={"text": "t"})),
    part("value", resource={"resourceType": "Organization", "name": "n"}),
]
NAMES = [
    "identifier",
    "deceased",
    "deceasedBoolean",
    "extension",
    "contact",
    "given",
    "id",
    "value",
    "contained",
    "url",
]
steps = st.one_of(
    st.builds(add, st.sampled_from(PATHS), st.sampled_from(NAMES), st.sampled_from(VALUES)),
    st.builds(
        lambda path, each, index: op("insert", path, each, index=index),
        st.sampled_from(PATHS),
        st.sampled_from(VALUES),
        st.integers(0, 3),
    ),
    st.builds(lambda path: op("delete", path), st.sampled_from(PATHS)),
    st.builds(lambda path, each: op("replace", path, each), st.sampled_from(PATHS), st.sampled_from(VALUES)),
    st.builds(
        lambda path, one, two: op("move", path, source=one, destination=two),
        st.sampled_from(PATHS),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
)


@given(st.lists(steps, max_size=8))
def test_patch_changes_a_copy_or_raises_a_fhir_error(operations: list[Any]) -> None:
    resource, given = parse(PATIENT), document(*operations)
    written = serialize(given)
    with contextlib.suppress(FhirError):
        parse(serialize(patched(*operations)))
    with contextlib.suppress(FhirError):
        parse_fhirpath_patch(given, "Patient", STRUCTURES).apply(resource)
    assert serialize(resource) == serialize(parse(PATIENT))
    assert serialize(given) == written


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x", "Patient", "operation"]),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "part",
                    "valueString",
                    "valueCode",
                    "valueHumanName",
                    "_valueString",
                    "resource",
                    "url",
                    "_given",
                    "given",
                ]
            ),
            each,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(junk, junk)
def test_junk_is_refused_or_ignored(parameter: Any, resource: Any) -> None:
    for parameters in (
        parameter,
        document(parameter),
        document(parts("operation", TYPE, PATH, {"name": "value", "valueHumanName": parameter})),
    ):
        with contextlib.suppress(BadRequest):
            parse_fhirpath_patch(parameters, "Patient", STRUCTURES)
    if isinstance(resource, dict):
        kept = duplicate(resource)
        with contextlib.suppress(FhirError):
            parse_fhirpath_patch(
                document(add("Patient", "contact", value(valueString="x"))), "Patient", STRUCTURES
            ).apply(resource)
        assert resource == kept
