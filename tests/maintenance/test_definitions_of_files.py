"""The commands on files of definitions: ``load-package`` and ``snapshot``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fhir_server.__main__ import main
from fhir_server.definitions.guide import PROFILES
from tests.command import run
from tests.definitions.packaging import package


def test_load_package_loads_the_sound_ones_and_says_why_not_the_others(tmp_path: Path) -> None:
    value_set = {"resourceType": "ValueSet", "id": "a", "status": "draft"}
    broken = {"resourceType": "ValueSet", "id": "b", "status": "nonsense"}
    package(tmp_path / "good.tgz", value_set, dependencies={"hl7.fhir.r4.core": "4.0.1"})
    package(tmp_path / "partly.tgz", broken, name="partly.fhir")
    (tmp_path / "hostile.tgz").write_bytes(b"nothing")
    arguments = ("load-package", "--store", "sqlite:a.db", "good.tgz", "hostile.tgz", "partly.tgz", "good.tgz")
    done = run(tmp_path, *arguments)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "fictif.fhir#1.0.0: 1 created, 0 updated, 0 unchanged, 0 not stored. It builds on hl7.fhir.r4.core#4.0.1.",
        "partly.fhir#1.0.0: 0 created, 0 updated, 0 unchanged, 1 not stored.",
        "fictif.fhir#1.0.0: 0 created, 0 updated, 1 unchanged, 0 not stored. It builds on hl7.fhir.r4.core#4.0.1.",
    ]
    assert done.stderr.splitlines()[0].startswith("hostile.tgz: it is not a file compressed with gzip")
    assert "partly.fhir#1.0.0/ValueSet-b.json: ValueSet.status: " in done.stderr


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """A folder with a profile of ours, and what it names."""
    for file in PROFILES.glob("*.json"):
        shutil.copy(file, tmp_path)
    return tmp_path


def test_snapshot_writes_what_follows_from_a_change(copies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = copies / "StructureDefinition-cpts-slot.json"
    profile = json.loads(file.read_bytes())
    profile["differential"]["element"].append({"id": "Slot.identifier", "path": "Slot.identifier", "min": 1})
    file.write_text(json.dumps(profile), encoding="utf-8")
    assert main(["snapshot", "--check", str(copies)]) == 1
    assert "StructureDefinition-cpts-slot.json: it is not as" in capsys.readouterr().err
    assert main(["snapshot", str(copies)]) == 0
    assert capsys.readouterr().out.endswith("1 written.\n")
    written = json.loads(file.read_bytes())
    (identifier,) = [one for one in written["snapshot"]["element"] if one["id"] == "Slot.identifier"]
    assert identifier["min"] == 1
    assert main(["snapshot", "--check", str(copies)]) == 0


def test_snapshot_tells_what_does_not_fit(copies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = copies / "StructureDefinition-cpts-slot.json"
    file.write_bytes(file.read_bytes().replace(b'"id": "Slot.comment"', b'"id": "Slot.colour"'))
    (copies / "ValueSet-a.json").write_text('{"resourceType": "ValueSet", "id": "b", "status": "draft"}')
    assert main(["snapshot", str(copies)]) == 1
    told = capsys.readouterr().err
    assert "StructureDefinition-cpts-slot.json: Slot.colour: Slot has no element colour" in told
    assert "ValueSet-a.json: the file of ValueSet/b is named ValueSet-b.json" in told
    (copies / "ValueSet-a.json").write_text("{")
    assert main(["snapshot", str(copies)]) == 1
    assert "ValueSet-a.json: the body is not JSON" in capsys.readouterr().err
