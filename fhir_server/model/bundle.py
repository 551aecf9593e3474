"""Bundles written from stored bytes: a resource is spliced in as it lies in the store, never parsed.

Spec: https://hl7.org/fhir/R4/bundle.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from fhir_server.model.formats import serialize
from fhir_server.model.primitives import instant


class Entry(NamedTuple):
    """One entry: ``resource`` is JSON in bytes, the rest plain values; what is None is left out."""

    full_url: str | None = None
    resource: bytes | None = None
    search: str | None = None
    """match, include or outcome."""
    request: Mapping[str, Any] | None = None
    response: Mapping[str, Any] | None = None


def bundle(
    type_: str,
    entries: Iterable[Entry],
    *,
    id_: str,
    micros: int,
    total: int | None = None,
    links: Sequence[tuple[str, str]] = (),
) -> tuple[bytes, ...]:
    """Return a Bundle's JSON in pieces. ``micros`` is its ``meta.lastUpdated``; ``links`` are (relation, url).

    Nothing empty is written: no ``entry`` without entries, no ``link`` without links.
    """
    head: dict[str, Any] = {
        "resourceType": "Bundle",
        "id": id_,
        "meta": {"lastUpdated": instant(micros)},
        "type": type_,
    }
    if total is not None:
        head["total"] = total
    if links:
        head["link"] = [{"relation": relation, "url": url} for relation, url in links]
    pieces = [serialize(head)[:-1]]
    opening = b',"entry":['
    for entry in entries:
        pieces.append(opening)
        pieces.extend(_pieces(entry))
        opening = b","
    pieces.append(b"]}" if opening == b"," else b"}")
    return tuple(pieces)


def _pieces(entry: Entry) -> list[bytes]:
    pieces: list[bytes] = []
    if entry.full_url is not None:
        pieces.append(b'"fullUrl":' + serialize(entry.full_url))
    if entry.resource is not None:
        pieces.append(b'"resource":' + entry.resource)
    if entry.search is not None:
        pieces.append(b'"search":{"mode":"' + entry.search.encode() + b'"}')
    if entry.request is not None:
        pieces.append(b'"request":' + serialize(entry.request))
    if entry.response is not None:
        pieces.append(b'"response":' + serialize(entry.response))
    return [b"{", b",".join(pieces), b"}"]
