"""A server for the tests that speaks MongoDB's wire protocol: built once into the user's cache, started on a free port.

``FHIR_TEST_MONGODB_URI`` names a real one instead. Its user may make and drop databases whose names begin with
``fhir_test_``.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import Final

from pymongo import MongoClient

URI: Final = "FHIR_TEST_MONGODB_URI"
SOURCES: Final = Path(__file__).parent
DOWNLOAD_SECONDS: Final = 600
START_SECONDS: Final = 60
_JAVA: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx1g", "-Dslf4j.internal.verbosity=ERROR")
_TOOLS: Final = ("java", "javac", "mvn")


def missing() -> str | None:
    """Say what is missing for a server to be had, or return None."""
    if os.environ.get(URI):
        return None
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if not absent:
        return None
    return f"MongoDB is not tested: give {URI}, or install Java 17 and Maven (no {', '.join(absent)} found)"


@contextmanager
def serving() -> Iterator[str]:
    """Give the URI of a server, without a database: the one of the environment, or one started for the while."""
    given = os.environ.get(URI)
    if given:
        yield given.rstrip("/")
        return
    place = _built()
    command = ["java", *_JAVA, "-cp", f"{place}:{place}/lib/*", "Main"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            port = process.stdout.readline().strip()
            if not port.isdigit():
                raise RuntimeError(f"the test server did not start: it said {port!r}")
            yield f"mongodb://127.0.0.1:{port}"
        finally:
            process.stdin.close()
            process.wait(START_SECONDS)


def _built() -> Path:
    """Return the folder of the compiled server and its libraries, made by whoever comes first."""
    sources = [SOURCES / "pom.xml", *sorted(SOURCES.glob("*.java"))]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fhir-server-cpts"
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / f"mongo-server-{digest}"
    with (cache / "mongo-server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            _build(sources, place)
    return place


def _build(sources: list[Path], place: Path) -> None:
    making = place.with_name(f"{place.name}-making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    for source in sources:
        shutil.copy(source, making)
    sys.__stderr__.write("Fetching the test server for MongoDB with Maven, once ...\n")  # type: ignore[union-attr]
    copy = ["mvn", "-B", "-ntp", "-q", "dependency:copy-dependencies", f"-DoutputDirectory={making / 'lib'}"]
    subprocess.run(copy, cwd=making, check=True, timeout=DOWNLOAD_SECONDS)
    compile_ = ["javac", "--release", "17", "-cp", f"{making / 'lib'}/*", "-d", str(making)]
    compile_ += [source.name for source in sources if source.suffix == ".java"]
    subprocess.run(compile_, cwd=making, check=True, timeout=START_SECONDS)
    making.rename(place)


def database_uri(uri: str, name: str) -> str:
    """Return the URI of one database of the server."""
    address, mark, options = uri.partition("?")
    return f"{address.rstrip('/')}/{name}{mark}{options}"


def named(uri: str, name: str) -> str:
    """Return the URI of a database beside the one of a URI: dropped with it."""
    address, mark, options = uri.partition("?")
    return f"{address}_{name}{mark}{options}"


@cache
def _client(uri: str) -> MongoClient[dict[str, object]]:
    """One for all who drop databases: connecting takes longer than many a test."""
    client = MongoClient[dict[str, object]](uri)
    atexit.register(client.close)
    return client


@contextmanager
def database(uri: str) -> Iterator[str]:
    """Give the URI of a database of its own, and drop it, and all whose names begin like its own, after use."""
    name = f"fhir_test_{token_hex(6)}"
    try:
        yield database_uri(uri, name)
    finally:
        for other in _client(uri).list_database_names():
            if other.startswith(name):
                _client(uri).drop_database(other)
