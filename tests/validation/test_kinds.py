"""The ids of issues: one table, the status they lead to."""

from __future__ import annotations

import pytest

from fhir_server.outcome import Issue, IssueType, Severity
from fhir_server.validation.kinds import KINDS, kind_of, status_of


def issue(id_: str, severity: Severity = Severity.ERROR) -> Issue:
    return Issue(kind_of(id_).code, "a", ("Slot",), severity, id_)


def test_status_is_400_for_what_is_not_fhir_and_422_for_what_breaks_a_rule() -> None:
    assert status_of([issue("type-boolean")]) == 400
    assert status_of([issue("cardinality-min")]) == 400
    assert status_of([issue("code-required")]) == 400
    assert status_of([issue("invariant-app-1")]) == 422
    assert status_of([issue("reference-target")]) == 422
    assert status_of([issue("second-opinion")]) == 422
    assert status_of([issue("reference-target"), issue("format-date")]) == 400


def test_status_of_an_issue_of_another_room_is_422() -> None:
    assert status_of([Issue(IssueType.STRUCTURE, "a", id="profile-slice")]) == 422
    assert status_of([Issue(IssueType.STRUCTURE, "a")]) == 422


def test_warnings_refuse_nothing() -> None:
    assert status_of([]) is None
    assert status_of([issue("type-boolean", Severity.WARNING), issue("invariant-dom-1", Severity.WARNING)]) is None


def test_unknown_id_has_no_kind() -> None:
    with pytest.raises(KeyError):
        kind_of("type-nothing")


def test_every_kind_is_documented_and_refuses() -> None:
    assert all(kind.status in (400, 422) and kind.meaning for kind in KINDS.values())


def test_code_tells_the_status_too() -> None:
    basic = {IssueType.STRUCTURE, IssueType.REQUIRED, IssueType.VALUE, IssueType.CODE_INVALID}
    assert {id_: kind.status for id_, kind in KINDS.items()} == {
        id_: 400 if kind.code in basic else 422 for id_, kind in KINDS.items()
    }
