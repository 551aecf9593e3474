"""A FHIR package: a ``.tgz`` with ``package/package.json`` and the conformance resources beside it.

A package comes from elsewhere, so it is read in bounded memory, nothing of it is ever written to a disk, and one that
is not what it should be is refused whole: ``read_package`` has read all of it before anybody uses any of it.
Spec: https://confluence.hl7.org/display/FHIR/NPM+Package+Specification
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, cast

from fhir_server.model.formats import Resource, parse
from fhir_server.outcome import BadRequest

MEMBERS: Final = 20_000
"""Files of one package."""
MEMBER_BYTES: Final = 64_000_000
"""One file, unpacked. The largest code systems that are published have a third of it."""
TOTAL_BYTES: Final = 1_000_000_000
"""All files, unpacked."""
HEADER_BYTES: Final = 100_000
"""Long names and the like, before one file."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-]{0,63}")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-+_]{0,63}")
_R4: Final = re.compile(r"4\.0(\.\d+)?")
_DOCUMENT: Final = re.compile(r"package/[^./][^/]*\.json")
"""Folders below, as for examples, are left out, and names that begin with a dot."""
_MANIFEST: Final = "package/package.json"
_READ: Final = 1_000_000


class PackageError(ValueError):
    """A file is not a package that can be loaded; the text says why, and where in it."""


@dataclass(frozen=True, slots=True)
class Package:
    """What a package says of itself. ``fingerprint`` is of the file as it is on the disk."""

    path: Path
    fingerprint: str
    name: str
    version: str
    title: str = ""
    dependencies: tuple[str, ...] = ()
    documents: int = 0
    """How many documents stand beside ``package.json``."""

    def __str__(self) -> str:
        return f"{self.name}#{self.version}"


class File(NamedTuple):
    """One JSON document beside ``package.json``: its name, and what it holds."""

    name: str
    content: Resource


def fingerprint(path: Path) -> str:
    """Return what tells two files apart. Raises ``PackageError`` if it cannot be read."""
    digest = sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_READ):
                digest.update(chunk)
    except OSError as error:
        raise PackageError(f"it cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def read_package(path: Path) -> Package:
    """Return what a package says of itself, when all of it has been read and found to be sound.

    Raises ``PackageError``.
    """
    mark = fingerprint(path)
    manifest: Resource | None = None
    documents = 0
    for name, content in _documents(path):
        if name == _MANIFEST:
            manifest = content
            continue
        documents += 1
        if "resourceType" in content and not isinstance(content["resourceType"], str):
            raise PackageError(f"{name}: resourceType is not a string")
    if manifest is None:
        raise PackageError(f"it has no {_MANIFEST}")
    return _package(path, mark, manifest, documents)


def read_files(package: Package) -> Iterator[File]:
    """Yield the documents of a package that ``read_package`` has given, one at a time; examples are left out."""
    for name, content in _documents(package.path):
        if name != _MANIFEST:
            yield File(name.removeprefix("package/"), content)


def _package(path: Path, mark: str, manifest: Resource, documents: int) -> Package:
    named = _text(manifest, "name", _NAME)
    version = _text(manifest, "version", _VERSION)
    versions = manifest.get("fhirVersions", manifest.get("fhir-version-list"))
    if not isinstance(versions, list) or not all(isinstance(one, str) for one in versions) or not versions:
        raise PackageError(f"{_MANIFEST}: fhirVersions is not a list of versions of FHIR")
    if not any(map(_R4.fullmatch, versions)):
        raise PackageError(f"it is for FHIR {', '.join(versions)[:64]}; this server is for 4.0.1")
    title = manifest.get("title")
    needs = manifest.get("dependencies") or {}
    if not isinstance(needs, dict) or not all(isinstance(number, str) for number in needs.values()):
        raise PackageError(f"{_MANIFEST}: dependencies is not an object of names and versions")
    return Package(
        path,
        mark,
        named,
        version,
        title if isinstance(title, str) else "",
        tuple(f"{other}#{number}" for other, number in needs.items()),
        documents,
    )


def _text(manifest: Resource, name: str, form: re.Pattern[str]) -> str:
    value = manifest.get(name)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise PackageError(f"{_MANIFEST}: {name} is not a text of the form {form.pattern}")
    return value


# --- the archive -----------------------------------------------------------------------------------------------------


def _documents(path: Path) -> Iterator[tuple[str, Resource]]:
    """Yield name and content of each JSON document in the folder ``package``. Raises ``PackageError``."""
    for name, data in _members(path):
        try:
            content: Any = parse(data)
        except BadRequest as error:
            raise PackageError(f"{name}: {error.issues[0].diagnostics}") from None
        if not isinstance(content, dict):
            raise PackageError(f"{name}: it is not a JSON object")
        yield name, content


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of what may be a resource, and look at all the rest. Raises ``PackageError``."""
    try:
        with path.open("rb") as file, gzip.GzipFile(fileobj=file) as unpacked:
            bounded = _Bounded(unpacked)
            with tarfile.open(fileobj=cast("BinaryIO", bounded), mode="r|") as archive:
                yield from _sound(archive, bounded)
            bounded.expect(TOTAL_BYTES)
            while bounded.read(_READ):  # what stands behind the archive, and the checksum of all
                pass
            if not bounded.is_ended:
                raise PackageError("it is cut: the archive has no end")
    except PackageError:
        raise
    except EOFError:
        raise PackageError("it is cut: the compressed file ends too early") from None
    except (gzip.BadGzipFile, zlib.error):
        raise PackageError("it is not a file compressed with gzip, or is damaged") from None
    except OSError as error:
        raise PackageError(f"it cannot be read: {error.strerror}") from None
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise PackageError(f"it is not a tar archive, or is damaged: {error}") from None


def _sound(archive: tarfile.TarFile, bounded: _Bounded) -> Iterator[tuple[str, bytes]]:
    """Yield the documents of an archive; raise ``PackageError`` at the first member that no package has."""
    seen: set[str] = set()
    for member in archive:
        name = member.name.removeprefix("./")
        if fault := _fault(member, name):
            raise PackageError(f"{name[:100]!r} {fault}")
        bounded.expect(member.size)
        if member.isdir():
            continue
        if name in seen:
            raise PackageError(f"{name[:100]!r} stands in it twice")
        if len(seen) >= MEMBERS:
            raise PackageError(f"it has more than {MEMBERS} files")
        seen.add(name)
        if _DOCUMENT.fullmatch(name):
            content = archive.extractfile(member)
            data = content.read() if content else b""
            if len(data) != member.size:
                raise PackageError(f"it is cut in {name[:100]!r}")
            yield name, data


def _fault(member: tarfile.TarInfo, name: str) -> str:
    """Return why a member has no place in a package; empty if it has."""
    if not (member.isreg() or member.isdir()) or member.issparse():
        return "is neither a file nor a folder"
    if name.startswith("/") or "\\" in name or re.match("[A-Za-z]:", name):
        return "is an absolute path, or one of another system"
    if ".." in name.split("/") or not name.isprintable():
        return "leads out of the package"
    if not 0 <= member.size <= MEMBER_BYTES:
        return f"has {member.size} bytes; the limit of one file is {MEMBER_BYTES}"
    return ""


class _Bounded:
    """A stream that ends with ``PackageError`` where it has given more than it may: a bomb is not unpacked."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self._given = 0
        self._may_give = HEADER_BYTES
        self._last = b""

    @property
    def is_ended(self) -> bool:
        """Whether it ends as an archive does, with a block of zeros: ``tarfile`` does not ask for that."""
        return self._last == bytes(tarfile.BLOCKSIZE)

    def expect(self, size: int) -> None:
        """Allow a member of ``size`` bytes, and what stands before the next one."""
        self._may_give = self._given + size + HEADER_BYTES

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes."""
        data = self._stream.read(size)
        self._given += len(data)
        self._last = (self._last + data)[-tarfile.BLOCKSIZE :]
        if self._given > TOTAL_BYTES:
            raise PackageError(f"it has more than {TOTAL_BYTES} bytes when it is unpacked")
        if self._given > self._may_give:
            raise PackageError(f"what stands between two files of it has more than {HEADER_BYTES} bytes")
        return data
