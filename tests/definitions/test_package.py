"""FHIR packages: what is read of a sound one, and that a hostile one is refused whole, with its reason."""

from __future__ import annotations

import gzip
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.definitions import package as module
from fhir_server.definitions.package import PackageError, read_files, read_package
from tests.definitions.packaging import MANIFEST, archive, member, package

VALUE_SET: dict[str, Any] = {"resourceType": "ValueSet", "id": "a", "url": "https://example.org/a", "status": "draft"}


def refusal(path: Path) -> str:
    with pytest.raises(PackageError) as refused:
        read_package(path)
    return str(refused.value)


def test_a_package_gives_its_documents_and_not_its_examples(tmp_path: Path) -> None:
    others = [
        member("package/example/Slot-x.json", {"resourceType": "Slot"}),
        member("package/other/broken.json", b"{"),
        member("package/.index.json", b"{}"),
        member("package/readme.md", b"x"),
        member("package", type=tarfile.DIRTYPE),
    ]
    found = read_package(package(tmp_path / "x.tgz", VALUE_SET, members=others, dependencies={"a.b": "1.x"}))
    assert (str(found), found.title, found.dependencies) == ("fictif.fhir#1.0.0", "Fictif", ("a.b#1.x",))
    assert [(file.name, file.content) for file in read_files(found)] == [("ValueSet-a.json", VALUE_SET)]


def test_names_may_begin_with_a_dot_and_a_slash_as_tar_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "x.tgz"
    path.write_bytes(gzip.compress(archive([member("./package/package.json", MANIFEST)])))
    assert read_package(path).name == "fictif.fhir"


def test_two_editions_of_a_file_have_two_fingerprints(tmp_path: Path) -> None:
    first = read_package(package(tmp_path / "x.tgz", VALUE_SET))
    second = read_package(package(tmp_path / "x.tgz", VALUE_SET | {"status": "active"}))
    assert first.fingerprint != second.fingerprint


MEMBERS = [
    (member("../escaped.json", b"{}"), "leads out of the package"),
    (member("package/../../escaped.json", b"{}"), "leads out of the package"),
    (member("/etc/escaped.json", b"{}"), "absolute path"),
    (member("C:/escaped.json", b"{}"), "absolute path"),
    (member("package\\..\\escaped.json", b"{}"), "absolute path"),
    (member("package/a\nb.json", b"{}"), "leads out of the package"),
    (member("package/link.json", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "neither a file nor a folder"),
    (member("package/link.json", type=tarfile.LNKTYPE, linkname="package/package.json"), "neither a file nor"),
    (member("package/null.json", type=tarfile.CHRTYPE, devmajor=1, devminor=3), "neither a file nor a folder"),
    (member("package/holes.json", b"x", pax_headers={"GNU.sparse.map": "0,1"}), "neither a file nor a folder"),
    (member("package/pipe.json", type=tarfile.FIFOTYPE), "neither a file nor a folder"),
    (member("package/package.json", MANIFEST), "stands in it twice"),
    (member("package/a.json", b"{"), "package/a.json: the body is not JSON"),
    (member("package/a.json", b'{"id": 1, "id": 2}'), 'the property "id" stands twice'),
    (member("package/a.json", b"\xff"), "not UTF-8"),
    (member("package/a.json", b"[" * 100_000), "nested deeper"),
    (member("package/a.json", b"[]"), "it is not a JSON object"),
    (member("package/a.json", {"resourceType": 1}), "resourceType is not a string"),
]


@pytest.mark.parametrize(("bad", "told"), MEMBERS, ids=[f"{one[0].name!r} {told}" for one, told in MEMBERS])
def test_a_member_that_no_package_has_refuses_the_package(
    tmp_path: Path, bad: tuple[tarfile.TarInfo, bytes], told: str
) -> None:
    assert told in refusal(package(tmp_path / "x.tgz", VALUE_SET, members=[bad]))
    assert [file.name for file in tmp_path.iterdir()] == ["x.tgz"]


MANIFESTS: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "name is not a text"),
    ({"name": 7}, "name is not a text"),
    ({"name": "../x"}, "name is not a text"),
    ({"version": "1.0.0/.."}, "version is not a text"),
    ({"fhirVersions": None}, "fhirVersions is not a list"),
    ({"fhirVersions": "4.0.1"}, "fhirVersions is not a list"),
    ({"fhirVersions": []}, "fhirVersions is not a list"),
    ({"fhirVersions": [4]}, "fhirVersions is not a list"),
    ({"fhirVersions": ["4.3.0", "5.0.0"]}, "it is for FHIR 4.3.0, 5.0.0; this server is for 4.0.1"),
    ({"dependencies": ["a"]}, "dependencies is not an object"),
    ({"dependencies": {"a": ["1.0.0"]}}, "dependencies is not an object of names and versions"),
]


@pytest.mark.parametrize(("changes", "told"), MANIFESTS, ids=[told + str(changes) for changes, told in MANIFESTS])
def test_a_manifest_of_wrong_types_or_versions_refuses_the_package(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    assert told in refusal(package(tmp_path / "x.tgz", **changes))


def test_the_older_name_of_the_versions_is_read(tmp_path: Path) -> None:
    older = {"name": "old", "version": "1", "fhir-version-list": ["4.0.0"]}
    path = tmp_path / "x.tgz"
    path.write_bytes(gzip.compress(archive([member("package/package.json", older)])))
    assert read_package(path).version == "1"


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tgz"
    whole = package(path, VALUE_SET).read_bytes()
    for data, told in (
        (b"", "not a tar archive, or is damaged: empty file"),
        (b"not gzip at all", "not a file compressed with gzip"),
        (gzip.compress(b"not a tar archive" * 1000), "not a tar archive"),
        (gzip.compress(archive([member("package/a.json", VALUE_SET)])), "no package/package.json"),
        (whole[:-100], "it is cut"),
        (whole[:40], "it is cut"),
        (whole[:-8] + bytes(8), "is damaged"),
        (gzip.compress(gzip.decompress(whole)[:1300]), "it is cut"),
    ):
        path.write_bytes(data)
        assert told in refusal(path), told
    assert "cannot be read" in refusal(tmp_path / "missing.tgz")
    assert "cannot be read" in refusal(tmp_path)


def test_bombs_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMBER_BYTES", 1_000_000)
    monkeypatch.setattr(module, "TOTAL_BYTES", 3_000_000)
    monkeypatch.setattr(module, "MEMBERS", 100)
    zeros = bytes(900_000)
    large = package(tmp_path / "large.tgz", members=[member("package/other/a", bytes(2_000_000))])
    many = package(tmp_path / "many.tgz", members=[member(f"package/other/{n}", zeros) for n in range(5)])
    files = package(tmp_path / "files.tgz", members=[member(f"package/other/{n}") for n in range(101)])
    names = package(tmp_path / "names.tgz", members=[member("package/" + "n" * 500_000, b"x")])
    behind = tmp_path / "behind.tgz"
    behind.write_bytes(gzip.compress(gzip.decompress(package(behind).read_bytes()) + bytes(9_000_000)))
    tracemalloc.start()
    assert "the limit of one file is 1000000" in refusal(large)
    assert "more than 3000000 bytes when it is unpacked" in refusal(many)
    assert "more than 100 files" in refusal(files)
    assert "between two files" in refusal(names)
    assert "more than 3000000 bytes when it is unpacked" in refusal(behind)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_a_size_that_the_archive_does_not_hold_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.tgz"
    whole = archive([member("package/package.json", MANIFEST)])
    path.write_bytes(gzip.compress(whole[:124] + b"00000177777\0" + whole[136:]))  # the size in its header
    assert refusal(path)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_package_that_is_changed_anywhere_is_read_or_refused_and_nothing_else(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.tgz"
    tar = bytearray(gzip.decompress(package(path, VALUE_SET).read_bytes()))
    for place in data.draw(st.lists(st.integers(0, len(tar) - 1), min_size=1, max_size=4)):
        tar[place] = data.draw(st.integers(0, 255))
    whole = bytearray(gzip.compress(tar[: data.draw(st.integers(0, len(tar)))], compresslevel=1))
    if data.draw(st.booleans()):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    try:
        found = read_package(path)
    except PackageError as error:
        assert str(error)
    else:
        assert list(read_files(found)) is not None
