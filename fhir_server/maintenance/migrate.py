"""migrate: the log of one store into another, of any engine, with its identity, its numbers and its history.

Cursors and the feed live on in the new store. The old one is read while it is in use; at the end it is marked as ended,
so that no process writes it any more, and what was written meanwhile follows. Interrupted, a second run goes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

from fhir_server.interactions.context import Context
from fhir_server.maintenance.appending import bare, chunks
from fhir_server.maintenance.progress import CommandFailed, Progress, unheard
from fhir_server.maintenance.reindexing import CatchingUp, in_turn
from fhir_server.search.query import Query
from fhir_server.storage.protocol import ENDED, Commit, Store, StoreError

COUNT_SECONDS: Final = 3_600.0


@dataclass(slots=True)
class Migrated:
    """``found``: so many commits were there already, of a run that was interrupted."""

    log: str
    commits: int
    found: int
    changes: int = 0
    live: dict[str, int] = field(default_factory=dict)
    """Current resources by type."""


async def migrate(
    source: Store, context: Context, *, tell: Callable[[str], None], progress: Progress = unheard
) -> Migrated:
    """Copy the log of ``source`` into the context's store, verify it, end the source.

    ``tell`` takes a line for each resource that cannot be indexed; ``progress`` counts commits, once copied and once
    verified. Raises ``CommandFailed``: the text says what is there now.
    """
    head, there = await source.head(), await context.store.head()
    if head.number == 0:
        raise CommandFailed("The store to migrate from is empty: there is nothing to migrate.")
    if there.number and there.log_id != head.log_id:
        raise CommandFailed(
            f"The store to migrate to is not empty: it holds {there.number} commits of another log; "
            "give the name of a store that does not exist yet."
        )
    done = Migrated(head.log_id, head.number, there.number)
    await _copy(source, context, there.number, head.number, head.log_id, progress)
    await _verify(source, context.store, 0, done, progress)
    if head.schema != ENDED:
        await source.end()
    last = (await source.head()).number
    if last > head.number:
        done.commits = last
        await _copy(source, context, head.number, last, head.log_id, unheard)
        await _verify(source, context.store, head.number, done, unheard)
    async with in_turn(context.store):
        await CatchingUp(tell).run(await context.followed())
    await _compare_counts(source, context.store, done)
    return done


async def _copy(source: Store, context: Context, done: int, total: int, log_id: str, progress: Progress) -> None:
    try:
        if done < total:
            async for chunk in chunks(context, _until(source.log(done), total)):
                await context.store.append(chunk, log_id)
                done = chunk[-1][0].number
                progress(done, 2 * total)
    except (StoreError, CommandFailed) as error:
        reason = str(error).rstrip(".")
        raise CommandFailed(
            f"The migration stopped: {reason}. The new store holds {done} of {total} commits; "
            "run the command again to go on, or remove the new store. The old one is as it was."
        ) from error


async def _until(commits: AsyncIterator[Commit], last: int) -> AsyncIterator[Commit]:
    async for commit in commits:
        yield commit
        if commit.number == last:
            return


async def _verify(source: Store, target: Store, after: int, done: Migrated, progress: Progress) -> None:
    """Compare both logs, commit by commit. Raises ``CommandFailed``."""
    copied = target.log(after)
    async for commit in source.log(after):
        if commit.number > done.commits:
            return
        other = await anext(copied, None)
        if other is None or bare(other) != bare(commit):
            raise CommandFailed(f"Commit {commit.number} is not the same in both stores: remove the new one.")
        for change in commit.changes:
            done.live[change.key.type] = 0
        done.changes += len(commit.changes)
        progress(done.commits + commit.number, 2 * done.commits)


async def _compare_counts(source: Store, target: Store, done: Migrated) -> None:
    """Count what both stores find. Raises ``CommandFailed``."""
    async with source.snapshot() as old, target.snapshot() as new:
        for type_ in sorted(done.live):
            query = Query((type_,))
            expected, found = await old.count(query, COUNT_SECONDS), await new.count(query, COUNT_SECONDS)
            if found != expected:
                raise CommandFailed(f"The new store finds {found} of {expected} resources of type {type_}: run check.")
            done.live[type_] = found
