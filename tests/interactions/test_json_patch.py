"""JSON Patch: each operation, what is refused, what is bounded. RFC 6902, RFC 6901."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.interactions.patching.json_patch import (
    COPIED,
    JsonPatch,
    duplicate,
    levels,
    parse_json_patch,
    without_empties,
)
from fhir_server.model.formats import MAX_DEPTH, parse, serialize
from fhir_server.outcome import BadRequest, FhirError, TooLarge, Unprocessable

MARTIN = b"""{"resourceType":"Practitioner","id":"p","active":true,
"identifier":[{"system":"urn:a","value":"1"},{"system":"urn:b","value":"2"}],
"name":[{"family":"Martin","given":["Anne","Zo\xc3\xa9"]}],"birthDate":"1970-02-03",
"_birthDate":{"extension":[{"url":"urn:x/y~z","valueDecimal":72.50}]}}"""


def patched(*operations: dict[str, Any], resource: bytes = MARTIN) -> Any:
    return parse_json_patch(list(operations)).apply(parse(resource))


def op(op: str, path: str, **more: Any) -> dict[str, Any]:
    return {"op": op, "path": path, **more}


@pytest.mark.parametrize(
    ("operation", "path", "expected"),
    [
        (op("add", "/gender", value="female"), ("gender",), "female"),
        (op("add", "/active", value=False), ("active",), False),
        (op("add", "/name/0/given/0", value="A"), ("name", 0, "given"), ["A", "Anne", "Zoé"]),
        (op("add", "/name/0/given/2", value="A"), ("name", 0, "given"), ["Anne", "Zoé", "A"]),
        (op("add", "/name/0/given/-", value="A"), ("name", 0, "given"), ["Anne", "Zoé", "A"]),
        (op("add", "/name/0/text", value=["a", ["b"]]), ("name", 0, "text"), ["a", ["b"]]),
        (op("add", "/a~1b~0c~01", value=1), ("a/b~c~1",), 1),
        (op("add", "/", value=1), ("",), 1),
        (op("add", "/0", value="a name that looks like an index"), ("0",), "a name that looks like an index"),
        (op("remove", "/identifier/0"), ("identifier",), [{"system": "urn:b", "value": "2"}]),
        (op("remove", "/name/0/given/1"), ("name", 0, "given"), ["Anne"]),
        (op("replace", "/name/0/family", value="Durand"), ("name", 0, "family"), "Durand"),
        (op("replace", "/name/0/given/1", value="B"), ("name", 0, "given"), ["Anne", "B"]),
        (op("replace", "/active", value=None), ("active",), None),
        (op("move", "/identifier/1", **{"from": "/identifier/0"}), ("identifier", 1, "value"), "1"),
        (
            op("move", "/name/0/text", **{"from": "/name/0/family"}),
            ("name", 0),
            {"given": ["Anne", "Zoé"], "text": "Martin"},
        ),
        (op("move", "/active", **{"from": "/active"}), ("active",), True),
        (op("copy", "/name/-", **{"from": "/name/0"}), ("name", 1, "family"), "Martin"),
        (op("copy", "/name/0/given/0", **{"from": "/name/0/given/1"}), ("name", 0, "given"), ["Zoé", "Anne", "Zoé"]),
        (op("test", "/name/0", value={"given": ["Anne", "Zoé"], "family": "Martin"}), ("id",), "p"),
        (op("test", "/_birthDate/extension/0/valueDecimal", value=parse(b"72.5")), ("id",), "p"),
        (op("test", "/active", value=True, comment="not known, not minded"), ("id",), "p"),
    ],
)
def test_operation_changes_its_place(operation: dict[str, Any], path: tuple[str | int, ...], expected: Any) -> None:
    found = patched(operation)
    for step in path:
        found = found[step]
    assert found == expected


def test_everything_else_stays_as_it_was_written() -> None:
    before = serialize(parse(MARTIN))
    assert serialize(patched(op("replace", "/active", value=False))) == before.replace(
        b'"active":true', b'"active":false'
    )
    assert serialize(patched()) == before


def test_operations_see_what_those_before_have_done() -> None:
    found = patched(
        op("add", "/telecom", value=[]),
        op("add", "/telecom/-", value={"system": "phone"}),
        op("test", "/telecom/0/system", value="phone"),
        op("move", "/telecom/0/use", **{"from": "/telecom/0/system"}),
    )
    assert found["telecom"] == [{"use": "phone"}]


def test_copies_are_independent() -> None:
    value = {"family": "B"}
    patch = parse_json_patch(
        [
            op("add", "/name/-", value=value),
            op("copy", "/name/-", **{"from": "/name/1"}),
            op("replace", "/name/2/family", value="C"),
        ]
    )
    assert [name["family"] for name in patch.apply(parse(MARTIN))["name"]] == ["Martin", "B", "C"]
    assert [name["family"] for name in patch.apply(parse(MARTIN))["name"]] == ["Martin", "B", "C"]
    assert value == {"family": "B"}


@pytest.mark.parametrize(
    "operation",
    [
        op("remove", "/gender"),
        op("remove", "/identifier/2"),
        op("remove", "/identifier/-"),
        op("replace", "/gender", value="male"),
        op("replace", "/identifier/2", value={}),
        op("replace", "/identifier/-", value={}),
        op("add", "/identifier/3", value={}),
        op("add", "/identifier/-1", value={}),
        op("add", "/identifier/01", value={}),
        op("add", "/identifier/1e0", value={}),
        op("add", "/identifier/\u0661", value={}),
        op("add", "/identifier/99999999999999999999999999", value={}),
        op("add", "/identifier/value", value="1"),
        op("add", "/telecom/0", value={}),
        op("add", "/active/x", value=1),
        op("add", "/birthDate/0", value="1"),
        op("move", "/gender", **{"from": "/name/0/gender"}),
        op("move", "/name/3", **{"from": "/identifier/0"}),
        op("copy", "/gender", **{"from": "/identifier/-"}),
        op("test", "/gender", value=None),
    ],
)
def test_missing_place_is_unprocessable(operation: dict[str, Any]) -> None:
    with pytest.raises(Unprocessable) as caught:
        patched(op("test", "/id", value="p"), operation)
    assert caught.value.issues[0].id == "patch-path"
    assert "operation 1 (" in caught.value.issues[0].diagnostics
    assert "Martin" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/active", 1),
        ("/active", "true"),
        ("/active", None),
        ("/name/0/given", ["Zoé", "Anne"]),
        ("/name/0/given", ["Anne"]),
        ("/name/0", {"family": "Martin"}),
        ("/_birthDate/extension/0/valueDecimal", "72.50"),
        ("/_birthDate/extension/0/valueDecimal", 72),
        ("", {}),
    ],
)
def test_failed_test_is_unprocessable(path: str, value: Any) -> None:
    with pytest.raises(Unprocessable) as caught:
        patched(op("test", path, value=value))
    assert caught.value.issues[0].id == "patch-test"


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        "[]",
        op("remove", "/active"),
        [None],
        [["remove", "/active"]],
        [{"path": "/active"}],
        [{"op": "remove"}],
        [op("frobnicate", "/active")],
        [{"op": ["remove"], "path": "/active"}],
        [{"op": "remove", "path": 5}],
        [{"op": "remove", "path": None}],
        [op("remove", "active")],
        [op("remove", "/a~")],
        [op("remove", "/a~2")],
        [op("add", "/active")],
        [op("replace", "/active")],
        [op("test", "/active")],
        [op("move", "/active")],
        [op("copy", "/active", **{"from": "x"})],
        [op("copy", "/active", **{"from": None})],
        [op("move", "/name/0/family", **{"from": "/name"})],
        [op("move", "/name", **{"from": ""})],
    ],
)
def test_malformed_document_is_a_bad_request(document: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_json_patch(document)
    assert caught.value.issues[0].id == "patch-document"


def test_whole_document_can_be_replaced_but_not_taken_away() -> None:
    other = {"resourceType": "Practitioner", "id": "p", "gender": "male"}
    assert patched(op("replace", "", value=other)) == other
    assert patched(op("remove", ""), op("add", "", value=other)) == other
    for operation in (op("remove", ""), op("add", "", value=[other]), op("replace", "", value=None)):
        with pytest.raises(Unprocessable):
            patched(operation)


def test_what_is_left_empty_is_gone() -> None:
    found = patched(
        op("remove", "/identifier/0"),
        op("remove", "/identifier/0"),
        op("remove", "/name/0/family"),
        op("remove", "/name/0/given"),
        op("remove", "/_birthDate/extension/0"),
        op("add", "/telecom", value=[]),
    )
    assert found == {"resourceType": "Practitioner", "id": "p", "active": True, "birthDate": "1970-02-03"}


def test_ids_and_extensions_of_repeated_primitives_keep_their_place() -> None:
    resource = {"given": ["A", None, "C"], "_given": [None, {"id": "b"}, {"extension": []}]}
    assert without_empties(resource) == {"given": ["A", None, "C"], "_given": [None, {"id": "b"}, None]}
    assert without_empties({"given": [None], "_given": [{"id": "a"}]}) == {"given": [None], "_given": [{"id": "a"}]}
    assert without_empties({"given": [None], "_given": [{}], "a": [None]}) == {}


@pytest.mark.parametrize(("from_", "path"), [("/name", "/name/-"), ("", "/x"), ("/name/0", "/name/0/x")])
def test_copies_without_end_are_refused(from_: str, path: str) -> None:
    bomb = [op("copy", path, **{"from": from_})] * 1_000
    with pytest.raises((TooLarge, Unprocessable)):
        patched(*bomb)


def test_copies_are_bounded_together() -> None:
    text = "x" * (COPIED // 4)
    grow = [op("copy", "/name/-", **{"from": "/name/0"})]
    resource = json.dumps({"name": [{"text": text}]}).encode()
    assert len(patched(*grow * 3, resource=resource)["name"]) == 4
    with pytest.raises(TooLarge) as caught:
        patched(*grow * 4, resource=resource)
    assert caught.value.issues[0].id == "patch-limit"


def test_depth_is_bounded() -> None:
    chain: dict[str, Any] = {}
    for _ in range(MAX_DEPTH - 2):
        chain = {"a": chain, "b": 1}
    deep = [op("add", "/x", value=chain)]
    assert levels(patched(*deep)) == MAX_DEPTH - 1
    down = "/x"
    for _ in range(40):
        down += "/a" * (MAX_DEPTH - 2)
        deep.append(op("add", down, value=chain))
    with pytest.raises(Unprocessable) as caught:
        patched(*deep)
    assert caught.value.issues[0].id == "patch-result"
    with pytest.raises(Unprocessable):
        patched(*deep[:3], op("copy", "/y", **{"from": "/x"}))


scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "é"]) | st.just(parse(b"[1.0]")[0])
names = st.sampled_from(["a", "b", "", "-", "0", "1", "a/b", "m~n", "_a"])
values = st.recursive(
    scalars, lambda each: st.lists(each, max_size=3) | st.dictionaries(names, each, max_size=3), max_leaves=12
)
pointers = st.lists(names, max_size=4).map(
    lambda tokens: "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)
)
operations = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
        "path": pointers,
        "from": pointers,
        "value": values,
    }
)


@given(st.dictionaries(names, values, max_size=4), st.lists(operations, max_size=6))
def test_patch_changes_a_copy_or_raises_a_fhir_error(resource: dict[str, Any], document: list[Any]) -> None:
    kept, written = duplicate(resource), copy.deepcopy(document)
    try:
        found = parse_json_patch(document).apply(resource)
    except FhirError:
        pass
    else:
        assert isinstance(found, dict)
        assert parse_json_patch(document).apply(resource) == found
    assert serialize(resource) == serialize(kept)
    assert serialize(document) == serialize(written)


@given(
    st.one_of(values, st.lists(st.dictionaries(st.sampled_from(["op", "path", "from", "value"]), values | pointers)))
)
def test_any_document_is_a_patch_or_a_bad_request(document: Any) -> None:
    try:
        assert isinstance(parse_json_patch(document), JsonPatch)
    except BadRequest as error:
        assert error.issues[0].id == "patch-document"
