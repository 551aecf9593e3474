"""export: the current resources as NDJSON, a file for each type.

Spec: https://hl7.org/fhir/R4/nd-json.html
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fhir_server.maintenance.files import make_folder, sync_folder, unnamed
from fhir_server.maintenance.pages import counts, pages
from fhir_server.maintenance.progress import Progress, unheard
from fhir_server.model.formats import parse, serialize
from fhir_server.search.query import EVERYTHING, Bounds, Node, Updated
from fhir_server.storage.protocol import Head, Store


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: resources by type, and the head of the log when it began."""

    resources: dict[str, int]
    head: Head


async def export(
    store: Store, folder: Path, types: Iterable[str], *, since: int | None = None, progress: Progress = unheard
) -> Exported:
    """Write ``Type.ndjson`` for each type that has resources, bytes as stored, a resource a line.

    ``since``: only what was last changed at or after that instant (microseconds). The files take their names together,
    at the end; a file of an earlier export whose type has nothing now is removed. ``progress`` counts resources.
    """
    make_folder(folder)
    where: Node = EVERYTHING if since is None else Updated((Bounds(low_from=since),))
    wanted = sorted(set(types))
    async with store.snapshot() as snapshot:
        head = snapshot.head
    total = sum((await counts(store, wanted, where)).values())
    done = 0
    written: dict[str, int] = {}
    with ExitStack() as stack:
        files = {type_: stack.enter_context(unnamed(_file(folder, type_))) for type_ in wanted}
        for type_, file in files.items():
            async for page in pages(store, type_, where):
                bodies = [_line(stored.body) for stored in page if stored.body is not None]
                file.stream.writelines(bodies)
                written[type_] = written.get(type_, 0) + len(bodies)
                done += len(bodies)
                progress(done, max(total, done))
            file.finish()
        for type_, file in files.items():
            if written.get(type_):
                file.take_name()
            else:
                _file(folder, type_).unlink(missing_ok=True)
        sync_folder(folder)
    return Exported({type_: count for type_, count in written.items() if count}, head)


def _file(folder: Path, type_: str) -> Path:
    return folder / f"{type_}.ndjson"


def _line(body: bytes) -> bytes:
    if b"\n" in body:  # between two tokens: inside a string it would be escaped
        body = serialize(parse(body))
    return body + b"\n"
