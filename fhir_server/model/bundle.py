"""Bundles written from stored bytes: a resource is spliced in as it lies in the store, never parsed.

Spec: https://hl7.org/fhir/R4/bundle.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from json.encoder import encode_basestring as _quoted
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
    before = ',"entry":['
    for full_url, resource, search, request, response in entries:
        before += "{"
        if full_url is not None:
            before += f'"fullUrl":{_quoted(full_url)},'
        if resource is not None:
            pieces += (f'{before}"resource":'.encode(), resource)
            before = ","
        if search is not None:
            before += f'"search":{{"mode":"{search}"}},'
        if request is not None:
            before += f'"request":{serialize(request).decode()},'
        if response is not None:
            before += f'"response":{serialize(response).decode()},'
        before = before.removesuffix(",") + "},"
    pieces.append(b"}" if len(pieces) == 1 and before[-1] == "[" else f"{before[:-1]}]}}".encode())
    return tuple(pieces)
