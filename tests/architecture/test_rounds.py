"""``scripts/torture`` runs what is marked so: each loop that goes round more often there has to be."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_whoever_asks_for_the_rounds_is_marked() -> None:
    asking = [path for path in TESTS.rglob("test_*.py") if "import FULL" in path.read_text(encoding="utf-8")]
    assert len(asking) > 10
    assert [path.name for path in asking if "mark.torture" not in path.read_text(encoding="utf-8")] == []


def test_one_place_reads_the_variable() -> None:
    reading = {path.name for path in TESTS.rglob("*.py") if 'environ.get("FHIR_TORTURE' in path.read_text("utf-8")}
    assert reading == {"rounds.py", Path(__file__).name}
