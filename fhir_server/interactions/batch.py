"""batch: each entry is a request of its own, and fails alone. https://hl7.org/fhir/R4/http.html#transaction"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from fhir_server.interactions.bundles import answered, posted, refused, routed
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Request, Response
from fhir_server.model.bundle import Entry, bundle
from fhir_server.outcome import FhirError

Perform = Callable[[Request], Awaitable[Response]]
"""Answers a request, or raises ``FhirError``."""

TOGETHER: Final = 64
"""How many entries of one method run at the same time; they share a commit."""


async def batch(context: Context, request: Request, entries: Sequence[Any], perform: Perform) -> Response:
    """Return the batch-response: entries in request order, runs of one method at the same time."""
    answers: list[Entry] = []
    for run in _runs(list(enumerate(entries))):
        answers.extend(await asyncio.gather(*(_one(context, request, entry, index, perform) for index, entry in run)))
    pieces = bundle("batch-response", answers, id_=context.new_id(), micros=context.clock())
    return Response(200, {}, pieces)


async def _one(context: Context, outer: Request, entry: Any, index: int, perform: Perform) -> Entry:
    try:
        wish = posted(context, outer, entry, index)
        routed(context, wish)
        return answered(context, await perform(wish.request))
    except FhirError as error:
        return refused(error)


def _runs(entries: list[tuple[int, Any]]) -> Iterator[list[tuple[int, Any]]]:
    """Yield neighbours of one method, at most ``TOGETHER``: a GET after a PUT sees what it did."""
    for _, run in groupby(entries, key=lambda pair: _method(pair[1])):
        neighbours = list(run)
        for start in range(0, len(neighbours), TOGETHER):
            yield neighbours[start : start + TOGETHER]


def _method(entry: Any) -> str:
    request = entry.get("request") if isinstance(entry, dict) else None
    method = request.get("method") if isinstance(request, dict) else None
    return method if isinstance(method, str) else ""
