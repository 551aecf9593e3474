"""restore: the log of a backup, into an empty store, under the new identity of that store.

The file is read through before anything is written, so a damaged one is refused whole. Interrupted, a second run
compares what is there with the file and goes on behind it. Index entries are computed anew.
"""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fhir_server.interactions.context import Context
from fhir_server.maintenance.appending import bare, chunks
from fhir_server.maintenance.backup_file import BackupReader, Damaged, Header, TooNew
from fhir_server.maintenance.documents import Readable
from fhir_server.maintenance.progress import CommandFailed, Progress, unheard
from fhir_server.maintenance.reindexing import CatchingUp, in_turn
from fhir_server.storage.protocol import SCHEMA, Commit, Store, StoreError


@dataclass(frozen=True, slots=True)
class Restored:
    """``found``: so many commits were there already, of a run that was interrupted."""

    commits: int
    changes: int
    found: int
    log: str


@dataclass(frozen=True, slots=True)
class Verified:
    """A file that was read through and is whole; only ``verify`` makes one."""

    path: Path
    header: Header
    changes: int


def verify(path: Path, *, progress: Progress = unheard) -> Verified:
    """Read a file through. ``progress`` counts its bytes as the first half of the work; ``restore`` is the other.

    Raises ``CommandFailed``: the file is cut, changed, no backup, or of a newer program.
    """
    with _open(path) as backup:
        for _ in backup.read(progress, 0):
            pass
        header, changes = backup.reader.header, backup.reader.changes
    if header.schema > SCHEMA:
        raise CommandFailed(f"{path} has schema {header.schema}; this program knows schemas up to {SCHEMA}.")
    return Verified(path, header, changes)


async def restore(
    context: Context, file: Verified, *, tell: Callable[[str], None], progress: Progress = unheard
) -> Restored:
    """Append the log of a file to an empty store, then index by the definitions that it ends with.

    ``tell`` takes a line for each resource that cannot be. Raises ``CommandFailed``: the text says what is there now.
    """
    async with context.store.snapshot() as snapshot:
        head = snapshot.head
    with _open(file.path) as backup:
        commits = backup.read(progress, 1)
        await _skip(context.store, commits, head.number, file.path)
        await _append(context, commits, head.log_id, head.number, file.header.commits)
    async with in_turn(context.store):
        await CatchingUp(tell).run(await context.followed())
    return Restored(file.header.commits, file.changes, head.number, head.log_id)


async def _skip(store: Store, commits: Iterator[Commit], number: int, path: Path) -> None:
    """Pass what the store has. Raises ``CommandFailed`` unless it is the beginning of this very backup."""
    if number == 0:
        return
    async for there in store.log(0):
        commit = next(commits, None)
        if commit is None or bare(there) != bare(commit):
            raise CommandFailed(
                f"The store is not empty: it holds {number} commits, and they are not the beginning of {path}; "
                "give the name of a store that does not exist yet."
            )


async def _append(context: Context, commits: Iterator[Commit], log_id: str, done: int, total: int) -> None:
    try:
        async for chunk in chunks(context, _each(commits)):
            await context.store.append(chunk, log_id)
            done = chunk[-1][0].number
    except (StoreError, CommandFailed) as error:
        reason = str(error).rstrip(".")
        raise CommandFailed(
            f"The restoration stopped: {reason}. The store holds {done} of {total} commits; "
            "run the command again to go on, or remove the store."
        ) from error


async def _each(commits: Iterator[Commit]) -> AsyncIterator[Commit]:
    for commit in commits:
        yield commit


@dataclass(slots=True)
class _Backup:
    path: Path
    size: int
    raw: Readable
    reader: BackupReader

    def read(self, progress: Progress, before: int) -> Iterator[Commit]:
        """Yield the commits; ``before``: how often the file was read already."""
        try:
            for commit in self.reader.commits():
                yield commit
                progress(before * self.size + self.raw.tell(), 2 * self.size)
        except Damaged as error:
            raise CommandFailed(f"{self.path} cannot be restored: {error}.") from None


@contextmanager
def _open(path: Path) -> Iterator[_Backup]:
    try:
        with path.open("rb") as raw, gzip.GzipFile(fileobj=raw) as stream:
            try:
                reader = BackupReader(stream)
            except (Damaged, TooNew) as error:
                raise CommandFailed(f"{path} cannot be restored: {error}.") from None
            yield _Backup(path, path.stat().st_size, raw, reader)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror or error}.") from None
