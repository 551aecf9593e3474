"""The cost of validation grows with the size of a resource, not with its square.

Steps are counted, not seconds: the instructions that the interpreter runs. Where the cost is linear, four items more
cost the same whether they come after four or after eight.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from types import FrameType
from typing import Any

import pytest

from fhir_server.definitions.elements import OPEN_TYPES
from fhir_server.definitions.registry import DEFAULT_TYPES, ENVELOPES
from fhir_server.definitions.structures import Structures
from fhir_server.outcome import Severity
from fhir_server.validation.faults import MAX_FAULTS, MAX_ISSUES
from fhir_server.validation.kinds import status_of
from fhir_server.validation.validator import Validator
from tests.validation.instances import Instances
from tests.validation.test_invariants import CASES, reachable

FEW, MANY = 4, 12
"""Items that are added at each step: a few show what one list costs."""


@pytest.fixture(scope="module")
def bare(structures: Structures) -> Validator:
    return Validator(structures, second_opinion=False)


def steps(run: Callable[[], object]) -> int:
    """Return how many instructions Python runs."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    gc.disable()  # what other tests left would be finalized here, and counted
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


def excess(validator: Validator, make: Callable[[int], Any], step: int = FEW) -> float:
    """Return how many instructions an item costs more for each other item that there is more."""
    resources = [make(times * step) for times in (1, 2, 3)]
    for resource in resources:  # whatever is compiled or cached at first sight
        validator.validate(resource)
    first, second, third = (steps(partial(validator.validate, resource)) for resource in resources)
    return (third - 2 * second + first) / step**2


def told_apart(item: Any, number: int) -> Any:
    """Return a copy with another id and path, as R4 wants of items that stand beside each other."""
    copy = deepcopy(item)
    if isinstance(copy, dict):
        for name in ("id", "path", "linkId"):
            if isinstance(copy.get(name), str) and number:
                copy[name] += f".x{number}" if name == "path" else f"-{number}"
    return copy


def lists(value: Any) -> Iterator[list[Any]]:
    """Yield every array in a value."""
    if isinstance(value, list):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from lists(child)


def longer(resource: dict[str, Any], position: int, size: int) -> dict[str, Any]:
    """Return a resource with the last item of one of its arrays many times."""
    made = deepcopy(resource)
    array = list(lists(made))[position]
    last = array.pop()
    array.extend(told_apart(last, number) for number in range(size))
    return made


def grown(validator: Validator, resource: dict[str, Any]) -> dict[int, float]:
    """Return the excess of each array of a resource."""
    found = {-1: 0.0}
    for position, array in enumerate(list(lists(resource))):
        if array:
            found[position] = excess(validator, partial(longer, resource, position))
    return found


def served() -> list[str]:
    """Return the served types, and the data types that they reach."""
    reached = {path.partition(".")[0] for path in reachable(Structures.load())}
    return sorted(DEFAULT_TYPES | ENVELOPES | reached & {*OPEN_TYPES, "ElementDefinition", "Extension", "Narrative"})


@pytest.mark.parametrize("type_", served())
def test_no_list_of_a_served_type_costs_its_square(type_: str, structures: Structures, bare: Validator) -> None:
    instances = Instances(structures)
    for path in sorted(path for path in reachable(structures) if path.partition(".")[0] == type_):
        if path != type_ and not structures.element(path).is_backbone:
            continue
        for element in structures.children(path).values():
            if element.is_list and element.name not in ("contained", "extension", "modifierExtension"):
                holder = instances.object(path)
                instances.add(holder, element)
                resource = {"resourceType": type_, **holder} if path == type_ else instances.embed(path, holder)
                assert max(grown(bare, resource).values()) < 1, element.path


@pytest.mark.parametrize("key", sorted(CASES))
def test_no_invariant_costs_the_square_of_a_list(key: str, structures: Structures, bare: Validator) -> None:
    case = CASES[key]
    for example in case["pass"]:
        resource = example if "type" in case else Instances(structures).embed(case["context"], example)
        if "root" in case:
            resource = {**resource, "contained": case["root"]["contained"]}
        for position, number in grown(bare, resource).items():
            assert number < 1, (resource, position)


def organization(number: int, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Organization", "id": f"o{number}", "name": "A", **more}


def many_contained(size: int) -> dict[str, Any]:
    references = [{"reference": f"#o{number}"} for number in range(size)]
    contained = [organization(number) for number in range(size)]
    return {"resourceType": "Patient", "contained": contained, "generalPractitioner": references}


def many_teams(size: int) -> dict[str, Any]:
    """Return a resource with many contained ones, each of which has a reference that an invariant resolves."""
    member = {"member": {"reference": "#o0"}, "onBehalfOf": {"reference": "#o0"}}
    teams = [{"resourceType": "CareTeam", "id": f"t{number}", "participant": [member]} for number in range(size)]
    return {"resourceType": "Patient", "contained": [*teams, organization(0)]}


def many_codes(size: int) -> dict[str, Any]:
    """Return a resource of which obs-7 compares each component's codes with each of its own."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"code": f"c{number}"} for number in range(size)]},
        "valueString": "a",
        "component": [{"code": {"coding": [{"code": f"d{number}"}]}} for number in range(size)],
    }


@pytest.mark.parametrize("make", [many_contained, many_teams, many_codes])
def test_no_list_costs_the_length_of_another(make: Callable[[int], Any], bare: Validator) -> None:
    assert excess(bare, make, MANY) < 1


def chain(length: int, *, bundles: bool) -> dict[str, Any]:
    """Return resources that contain one another, directly or by way of Bundles."""
    made = organization(0, extension=[{"url": "http://example.org/a", "valueString": "a"}] * 50)
    for number in range(1, length + 1):
        entry = {"resourceType": "Bundle", "id": "b", "type": "collection", "entry": [{"resource": made}]}
        made = organization(number, contained=[entry if bundles else made])
    return made


@pytest.mark.parametrize("bundles", [True, False])
def test_depth_of_contained_resources_does_not_multiply_their_cost(bundles: bool, bare: Validator) -> None:
    short, long = chain(4, bundles=bundles), chain(12, bundles=bundles)
    for resource in (short, long):
        bare.validate(resource)
    assert steps(lambda: bare.validate(long)) < 1.5 * steps(lambda: bare.validate(short))
    told = {issue.id for issue in bare.validate(long)}
    assert "structure-depth" in told if bundles else "invariant-dom-2" in told


WRONG: list[Callable[[int], dict[str, Any]]] = [
    lambda size: {"name": [1] * size},
    lambda size: {f"x{number}": 1 for number in range(size)},
    lambda size: {"name": [{"given": [1]} for _ in range(size)]},
    lambda size: {"name": [{"given": [1] * size}]},
    lambda size: {"name": [{"given": ["a"] * size, "_given": [1] * size}]},
    lambda size: {"contained": [{"resourceType": "Organization", "id": "o", "name": 1} for _ in range(size)]},
    lambda size: {"contained": [{"resourceType": "Organization", "id": [], "name": "a"} for _ in range(size)]},
]


@pytest.mark.parametrize("make", WRONG)
def test_checking_stops_when_enough_is_wrong(make: Callable[[int], dict[str, Any]], bare: Validator) -> None:
    few, many = ({"resourceType": "Patient", **make(size)} for size in (MAX_FAULTS + 9, 4 * MAX_FAULTS))
    issues = bare.validate(few)
    assert len(issues) == MAX_ISSUES + 1
    assert issues[-1].id == "issues-cut"
    assert "checking stopped" in issues[-1].diagnostics
    assert steps(lambda: bare.validate(many)) < 2 * steps(lambda: bare.validate(few))


def test_no_number_of_warnings_hides_an_error(bare: Validator) -> None:
    constraint = [{"key": "a-1", "severity": "error", "human": "A"}]  # eld-21, a warning, wants an expression too
    elements: list[dict[str, Any]] = [
        {"id": f"Slot.{number}", "path": f"Slot.{number}", "constraint": constraint}
        for number in range(MAX_FAULTS + 100)
    ]
    definition = {
        "resourceType": "StructureDefinition",
        "url": "http://example.org/a",
        "name": "A",
        "status": "draft",
        "kind": "resource",
        "abstract": False,
        "type": "Slot",
        "differential": {"element": elements},
    }
    for number in (MAX_FAULTS + 100, MAX_ISSUES + 1, MAX_ISSUES - 1):
        right = {**definition, "differential": {"element": elements[:number]}, "baseDefinition": "http://a"}
        issues = bare.validate(right)
        assert {issue.severity for issue in issues} <= {Severity.WARNING, Severity.INFORMATION}
        assert ("issues-cut" in {issue.id for issue in issues}) is (number > MAX_ISSUES)
        assert status_of(issues) is None
        assert status_of(bare.validate({**right, "zz": 1})) == 400
        wrong = [*elements[:number], {"id": "Slot.x", "path": 1}]
        assert status_of(bare.validate({**right, "differential": {"element": wrong}})) == 400
