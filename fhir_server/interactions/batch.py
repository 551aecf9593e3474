"""batch: each entry is a request of its own, and fails alone. https://hl7.org/fhir/R4/http.html#transaction"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from fhir_server.interactions.bundles import Perform, Posted, alone, answered, posted, routed
from fhir_server.interactions.context import Context
from fhir_server.interactions.envelope import Envelope
from fhir_server.interactions.exchange import Request, Response
from fhir_server.interactions.sizes import too_long
from fhir_server.model.bundle import Entry, bundle
from fhir_server.model.reference import references
from fhir_server.outcome import BadRequest, Issue, IssueType

TOGETHER: Final = 64
"""How many entries of one method run at the same time; they share a commit."""

READS_TOGETHER: Final = 2
"""How many reads and searches of one batch run at the same time: other clients need the readers of the store too."""


async def batch(context: Context, request: Request, envelope: Envelope, perform: Perform) -> Response:
    """Return the batch-response: entries in request order, runs of one method at the same time."""
    answers: list[Entry] = []
    created = _created(envelope.entries)
    budget = _Budget(context.limits.answer_bytes)
    for run in _runs(list(enumerate(envelope.entries))):
        tasks = (
            alone(
                _one(context, request, entry, index, envelope.faults.get(index, ()), created, perform, budget),
                f"Bundle.entry[{index}]",
                request.id,
            )
            for index, entry in run
        )
        answers.extend(await asyncio.gather(*tasks))
    pieces = bundle("batch-response", answers, id_=context.new_id(), micros=context.clock())
    return Response(200, {}, pieces)


class _Budget:
    """What the answers of one batch may have together, in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = self._left = limit

    def demand(self) -> None:
        """Raise ``BadRequest`` if nothing is left."""
        if self._left <= 0:
            raise too_long("with this entry", self._limit)

    def take(self, response: Response, *, is_read: bool) -> Response:
        """Return an answer that has its place. Raises ``BadRequest`` for a read that has none.

        A write is done, so its answer comes without the resource.
        """
        size = sum(map(len, response.body))
        if size <= self._left:
            self._left -= size
            return response
        if is_read:
            raise too_long("with this entry", self._limit)
        return replace(response, body=())


async def _one(
    context: Context,
    outer: Request,
    entry: Any,
    index: int,
    faults: Sequence[Issue],
    created: frozenset[str],
    perform: Perform,
    budget: _Budget,
) -> Entry:
    """Answer one entry, or raise what it is refused for."""
    if faults:
        raise BadRequest(*faults)
    wish = posted(context, outer, entry, index)
    asked = routed(context, wish)
    _refuse_dependent(wish, created)
    is_read = asked.is_read
    if is_read:
        budget.demand()
    return answered(wish.request, budget.take(await perform(wish.request), is_read=is_read))


def _created(entries: Sequence[Any]) -> frozenset[str]:
    """Return the fullUrls of what the batch creates: no other entry may refer to them."""
    posts = (entry for entry in entries if _method(entry) == "POST")
    urls = (entry.get("fullUrl") for entry in posts)
    return frozenset(url for url in urls if isinstance(url, str))


def _refuse_dependent(wish: Posted, created: frozenset[str]) -> None:
    """https://hl7.org/fhir/R4/http.html#brules: entries of a batch do not depend on each other."""
    if not created or not isinstance(wish.request.resource, dict):
        return
    if any(item["reference"] in created for item in references(wish.request.resource)):
        told = "a reference leads to what another entry of the batch creates; only a transaction resolves it"
        raise BadRequest(Issue(IssueType.NOT_SUPPORTED, told, (f"{wish.at}.resource",), id="batch-dependency"))


def _runs(entries: list[tuple[int, Any]]) -> Iterator[list[tuple[int, Any]]]:
    """Yield neighbours of one method, at most ``TOGETHER``: a GET after a PUT sees what it did."""
    for method, run in groupby(entries, key=lambda pair: _method(pair[1])):
        neighbours = list(run)
        together = READS_TOGETHER if method == "GET" else TOGETHER
        for start in range(0, len(neighbours), together):
            yield neighbours[start : start + together]


def _method(entry: Any) -> str:
    request = entry.get("request") if isinstance(entry, dict) else None
    method = request.get("method") if isinstance(request, dict) else None
    return method if isinstance(method, str) else ""
