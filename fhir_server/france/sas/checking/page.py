"""A searchset as the platform reads it: its envelope, its matches and what rides along.

Spec: https://hl7.org/fhir/R4/bundle.html#searchset; https://interop.esante.gouv.fr/ig/fhir/sas/ (the bundle profiles)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from fhir_server.france.sas.asked import spoken
from fhir_server.france.sas.checking.answer import Answer, check_media
from fhir_server.france.sas.checking.asked import Search
from fhir_server.france.sas.checking.looking import name_of, objects, text, texts
from fhir_server.france.sas.checking.verdict import Verdict

_NEED_SLOTS: Final = ("sas-cpts-bundle-aggregator", "sas-sos-bundle-aggregator")
"""Profiles of bundles that demand a slot at least."""


@dataclass(frozen=True)
class Page:
    """The searchset that answers a search."""

    search: Search
    bundle: dict[str, Any]

    @cached_property
    def resources(self) -> tuple[dict[str, Any], ...]:
        """The resources of all entries."""
        return tuple(objects(self.bundle, "entry", "resource"))

    @cached_property
    def matches(self) -> tuple[dict[str, Any], ...]:
        """Those that the search itself found."""
        return tuple(one for one in self.resources if text(one, "resourceType") == self.search.flow.match)

    @cached_property
    def slots(self) -> tuple[dict[str, Any], ...]:
        """The slots, matches or not."""
        return self.of("Slot")

    @cached_property
    def by_name(self) -> Mapping[str, dict[str, Any]]:
        """The resources by ``Type/id``, and by the URLs of their entries."""
        found = {name_of(one): one for one in self.resources}
        for entry in objects(self.bundle, "entry"):
            for resource in objects(entry, "resource"):
                found.setdefault(text(entry, "fullUrl"), resource)
        return found

    @property
    def names(self) -> frozenset[str]:
        """``Type/id`` of the matches."""
        return frozenset(name_of(one) for one in self.matches)

    def of(self, type_: str) -> tuple[dict[str, Any], ...]:
        """Return the resources of a type."""
        return tuple(one for one in self.resources if text(one, "resourceType") == type_)


def page_of(answer: Answer, search: Search) -> Page | None:
    """Return the searchset of an answer; None: it is none."""
    return Page(search, answer.json) if answer.status == 200 and answer.type == "Bundle" else None


def check_envelope(answer: Answer, search: Search, base: str) -> Iterator[Verdict]:
    """Judge the answer to a search, and what its Bundle says of itself. ``base``: the URL that was asked."""
    yield Verdict("search-answered", answer.status == 200, "", answer.told)
    if answer.status != 200:
        return
    yield from check_media(answer)
    page = page_of(answer, search)
    kind = text(answer.json, "type")
    yield Verdict("searchset", page is not None and kind == "searchset", "Bundle.type", kind or answer.told)
    if page is not None:
        yield from _links(page, base)
        yield from _entries(page)
        total = page.bundle.get("total")
        is_right = isinstance(total, int) and total == len(page.matches)
        yield Verdict("total", is_right, "Bundle.total", f"{total!r:.20} of {len(page.matches)}")
        if not page.resources:
            claimed = [one for one in texts(page.bundle, "meta", "profile") if one.endswith(_NEED_SLOTS)]
            yield Verdict("empty-profile", not claimed, "Bundle.meta.profile", ", ".join(claimed))


def check_empty(answer: Answer, search: Search) -> Iterator[Verdict]:
    """Judge the answer to a search that finds nothing."""
    page = page_of(answer, search)
    is_empty = page is not None and page.bundle.get("total") == 0 and "entry" not in page.bundle
    yield Verdict("empty-answer", is_empty, "Bundle", answer.told)


def _links(page: Page, base: str) -> Iterator[Verdict]:
    links = objects(page.bundle, "link")
    relations = [text(link, "relation") for link in links]
    yield Verdict("one-link", relations == ["self"], "Bundle.link", ", ".join(relations))
    for link in links:
        if text(link, "relation") == "self":
            before, _, query = text(link, "url").partition("?")
            yield Verdict("self-link", query == spoken(page.search.query), "Bundle.link[0].url", "another query")
            is_ours = before == f"{base}/{page.search.flow.match}"
            yield Verdict("self-base", is_ours, "Bundle.link[0].url", before)
            return


def _entries(page: Page) -> Iterator[Verdict]:
    seen: set[str] = set()
    for place, entry in enumerate(objects(page.bundle, "entry")):
        where = f"Bundle.entry[{place}]"
        resource = next(iter(objects(entry, "resource")), {})
        name = name_of(resource)
        url = text(entry, "fullUrl")
        is_full = url.startswith("urn:uuid:") or ("://" in url and url.endswith(name))
        yield Verdict("full-url", is_full, f"{where}.fullUrl", "another URL" if url else "none")
        mode = text(entry, "search", "mode")
        wanted = "match" if text(resource, "resourceType") == page.search.flow.match else "include"
        yield Verdict("entry-mode", mode == wanted, f"{where}.search.mode", mode or "none")
        yield Verdict("once", name not in seen, where, name)
        seen.add(name)
