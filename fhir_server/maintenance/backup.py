"""backup: the whole log, with its identity, in one file. The store may be in use: it is read page by page."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fhir_server.maintenance.backup_file import BackupWriter, Header
from fhir_server.maintenance.files import replacing
from fhir_server.maintenance.progress import CommandFailed, Progress, unheard
from fhir_server.storage.protocol import ENDED, SCHEMA, Store

LEVEL: Final = 3
"""Of compression: three times as fast as the usual 6, for files a sixth larger."""


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What the file holds."""

    commits: int
    changes: int
    bytes: int


async def backup(store: Store, path: Path, *, created: int, software: str, progress: Progress = unheard) -> BackedUp:
    """Write the log up to its head of now; the file takes its name when it is whole. ``progress`` counts commits.

    ``created`` is the instant of the backup in microseconds, ``software`` the version of the program.
    """
    async with store.snapshot() as snapshot:
        head = snapshot.head
    schema = SCHEMA if head.schema == ENDED else head.schema
    header = Header(head.log_id, head.number, head.generation, schema, created, software)
    with replacing(path) as file:
        with gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as stream:
            writer = BackupWriter(stream, header)
            if head.number:
                async for commit in store.log(0):
                    writer.add(commit)
                    progress(writer.commits, head.number)
                    if commit.number == head.number:
                        break
            if writer.commits != head.number:
                raise CommandFailed(f"The log ends at {writer.commits}, its head says {head.number}: run check.")
            writer.end()
        size = file.tell()
    return BackedUp(writer.commits, writer.changes, size)
