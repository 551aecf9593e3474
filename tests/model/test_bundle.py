"""Bundles written from bytes. https://hl7.org/fhir/R4/bundle.html"""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from fhir_server.model.bundle import Entry, bundle

URL = 'https://cpts.example/fhir/Slot/é"\\'
MEMBERS: dict[str, tuple[Any, ...]] = {
    "full_url": (None, URL),
    "resource": (None, b'{"resourceType":"Slot","n":72.50}'),
    "search": (None, "match"),
    "request": (None, {"method": "PUT", "url": URL}),
    "response": (None, {"status": "200 OK"}),
}
ENTRIES = [Entry(*values) for values in product(*MEMBERS.values())]


def expected(entry: Entry) -> dict[str, Any]:
    members = {
        "fullUrl": entry.full_url,
        "resource": json.loads(entry.resource) if entry.resource else None,
        "search": {"mode": entry.search} if entry.search else None,
        "request": entry.request,
        "response": entry.response,
    }
    return {name: value for name, value in members.items() if value is not None}


@pytest.mark.parametrize("count", [0, 1, len(ENTRIES)])
def test_entries_say_what_they_have_and_nothing_else(count: int) -> None:
    text = b"".join(bundle("searchset", ENTRIES[:count], id_="b", micros=0, total=count, links=[("self", URL)]))
    read = json.loads(text)
    assert read.pop("entry", []) == [expected(entry) for entry in ENTRIES[:count]]
    assert read == {
        "resourceType": "Bundle",
        "id": "b",
        "meta": {"lastUpdated": "1970-01-01T00:00:00.000Z"},
        "type": "searchset",
        "total": count,
        "link": [{"relation": "self", "url": URL}],
    }


def test_members_of_an_entry_stand_in_the_order_of_the_specification() -> None:
    text = b"".join(bundle("history", [ENTRIES[-1]], id_="b", micros=0)).decode()
    assert text.endswith(
        ',"entry":[{"fullUrl":"https://cpts.example/fhir/Slot/é\\"\\\\","resource":{"resourceType":"Slot","n":72.50},'
        '"search":{"mode":"match"},"request":{"method":"PUT","url":"https://cpts.example/fhir/Slot/é\\"\\\\"},'
        '"response":{"status":"200 OK"}}]}'
    )
