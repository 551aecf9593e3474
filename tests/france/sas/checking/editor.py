"""A small SAS server of an editor, in process, that does all as the guide wants it, but for the flaws it is given."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import httpx

from fhir_server.france.sas.actors import statement
from fhir_server.france.sas.asked import spoken
from fhir_server.france.sas.base import SasBase
from tests.france.sas.checking.pages import ACCOUNTS, BASE, IDNPS, Json, searchset, slots_page, sos_page
from tests.france.sas.checking.pages import search as searching

_TYPES = {IDNPS: "IDNPS", ACCOUNTS: "INTRN"}


class Editor:
    """What ``httpx.MockTransport`` asks. ``flaws`` are ids of rules that are not kept."""

    def __init__(self, *flaws: str) -> None:
        self.flaws = frozenset(flaws)
        self.accounts: dict[str, Json] = {}
        self.requests: list[tuple[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        target = request.extensions["target"].decode().removeprefix("/sas/")
        self.requests.append((request.method, target))
        path, _, query = target.partition("?")
        if request.method == "POST":
            return self._create(json.loads(request.content))
        if request.method == "PUT":
            return self._update(path, query, request)
        if request.method == "DELETE" or path == "Patient":
            return _refused(405) if "only-the-sas" not in self.flaws else _told(200, {"resourceType": "Bundle"})
        if path == "metadata":
            return _refused(404) if "metadata" in self.flaws else _told(200, statement(SasBase("/sas"), BASE))
        if "/" in path:
            return self._read(path)
        return self._search(path, query, request.headers["accept"])

    # --- searching ---------------------------------------------------------------------------------------------------

    def _search(self, path: str, query: str, accept: str) -> httpx.Response:
        if path == "Practitioner":
            return _told(200, {"resourceType": "Bundle", "type": "searchset", "total": 0})
        if any(flaw in self.flaws for flaw in _spelled(query)) or (
            "accept" in self.flaws and accept == "application/json"
        ):
            return _refused(400)
        if "2026-13-45" in query and "bad-request" not in self.flaws:
            return _refused(400)
        page = sos_page() if path == "Schedule" else slots_page()
        if "2001-01" in query or "ge2026-01-07" in query:
            flaw = "empty-answer" if "2001-01" in query else "inverted-window"
            if flaw in self.flaws:
                return _refused(404)
            page = searchset(searching())
        elif path == "Slot" and "service-type-reference" not in query:
            page["entry"] = page["entry"][:-2]
        page["link"][0]["url"] = f"{BASE}/{path}?{spoken(query)}"
        return _told(200, page)

    def _read(self, path: str) -> httpx.Response:
        entries = [*slots_page()["entry"], *sos_page()["entry"]]
        found = [one["resource"] for one in entries if one["fullUrl"].endswith(f"/{path}")]
        return _told(200, found[0]) if found and "read" not in self.flaws else _refused(404)

    # --- accounts ----------------------------------------------------------------------------------------------------

    def _create(self, body: Json, *, by_update: bool = False) -> httpx.Response:
        if "account-create" in self.flaws:
            return _refused(405)
        if set(_faults(body)) - self.flaws:
            return _refused(422)
        same = [one for one in self.accounts.values() if one.get("identifier", 1) == body.get("identifier", 2)]
        if "account-reattribute" not in self.flaws:
            same = [one for one in same if one.get("active", True)]
        if same and "account-duplicate" not in self.flaws:
            return _refused(409)
        id_ = f"a{len(self.accounts) + 1}"
        self.accounts[id_] = {**body, "id": id_}
        return self._done(201, id_, "account-location")

    def _update(self, path: str, query: str, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if path.startswith("Practitioner/"):
            return _refused(405)
        if self.flaws & set(_worded(query, request.headers["content-type"], body)):
            return _refused(400)
        system, _, value = unquote(re.sub("^[Ii]dentifier=|&.*", "", query)).partition("|")
        found = [id_ for id_, one in self.accounts.items() if _has(one, system, value)]
        active = [id_ for id_ in found if self.accounts[id_].get("active", True)]
        if not found:
            return _refused(404) if "account-update-creates" in self.flaws else self._create(body)
        if len(found) > 1 and "account-active-first" in self.flaws and body["active"]:
            return _refused(412)
        id_ = (active or found)[-1]
        if self.flaws & set(_changed(self.accounts[id_], body)):
            return _refused(400)
        self.accounts[id_] = {**body, "id": id_}
        return self._done(200, id_, "account-update-location")

    def _done(self, status: int, id_: str, flaw: str) -> httpx.Response:
        headers = {} if flaw in self.flaws else {"Location": f"{BASE}/Practitioner/{id_}/_history/1"}
        return _told(status, self.accounts[id_], headers)


def _spelled(query: str) -> Iterator[str]:
    """Yield the rules of spelling that a search is about."""
    if "|" in query:
        yield "bare-bar"
    if re.search(r"start=.e[^&]*\+", query):
        yield "bare-plus"
    if re.search(r"start=ge[^&]*\.000(?:&|$)", query):
        yield "no-offset"
    if "%2B00:00" in query:
        yield "zero-offset"
    if "_count" in query:
        yield "count"
    if query.count("%7C") == 25:
        yield "twenty-five"


def _worded(query: str, kind: str, body: Json) -> Iterator[str]:
    if body["name"][0]["given"] == ["Alix"]:
        yield "account-update"
    if query.startswith("Identifier="):
        yield "account-capital"
    if "_format" in query:
        yield "account-format"
    if kind != "application/json+fhir":
        yield "account-media"


def _changed(before: Json, after: Json) -> Iterator[str]:
    (old,), (new,) = before["identifier"], after["identifier"]
    if "id" in after and after["id"] != before["id"]:
        yield "account-body-id"
    if old["system"] != new["system"]:
        yield "account-retype"
    elif old["value"] != new["value"]:
        yield "account-renumber"
    if after["active"] is False:
        yield "account-disable"


def _faults(body: Json) -> Iterator[str]:
    for element in ("identifier", "name", "telecom", "active"):
        if element not in body:
            yield f"account-{element}"
    if not body.get("name", [{"family": "x"}])[0]["family"]:
        yield "account-family"
    point = body.get("telecom", [{"value": "x", "system": "email"}])[0]
    if not point["value"]:
        yield "account-mail"
    if point["system"] != "email":
        yield "account-mail-system"
    for one in body.get("identifier", ()):
        if one["type"]["coding"][0]["code"] != _TYPES[one["system"]]:
            yield "account-type"


def _has(account: Json, system: str, value: str) -> bool:
    return any((one["system"], one["value"]) == (system, value) for one in account.get("identifier", ()))


def _told(status: int, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(
        status,
        headers={"Content-Type": "application/fhir+json; charset=utf-8", **(headers or {})},
        content=json.dumps(body).encode(),
    )


def _refused(status: int) -> httpx.Response:
    issue = {"severity": "error", "code": "processing"}
    return _told(status, {"resourceType": "OperationOutcome", "issue": [issue]})
