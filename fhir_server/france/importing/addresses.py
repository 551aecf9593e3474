"""Postal addresses as the national files write them, and ids made of what they write."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from fhir_server.france.vocabulary import Json, insee_code

_CEDEX: Final = re.compile(r"(\d{5})\s+(.*?)(?:\s+CEDEX(?:\s+\d+)?)?", re.IGNORECASE)
_FRANCE: Final = frozenset(("99000", "99100"))
"""INSEE's codes of France, in the country columns of the registers."""
_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")


def address(
    lines: list[str], post: str | None, city: str | None, insee: str | None, country: str | None = None
) -> Json | None:
    """Return an address, None if nothing is known of it. ``country``: INSEE's code."""
    found: Json = {}
    if insee:
        found["extension"] = [insee_code(insee)]
    if kept := [line for line in lines if line]:
        found["line"] = kept
    for name, value in (("city", city), ("postalCode", post)):
        if value:
            found[name] = value
    if country:
        found["country"] = "FR" if country in _FRANCE else country
    return found or None


def routing(text: str | None) -> tuple[str | None, str | None]:
    """Return post code and town of a routing line (``25030 BESANCON CEDEX``), without CEDEX."""
    match = _CEDEX.fullmatch(text or "")
    return (match[1], match[2]) if match else (None, text)


def commune(department: str, number: str) -> str:
    """Return the INSEE code of a commune from FINESS's two columns: overseas, the third digit is the commune's own."""
    is_overseas = department[:1] == "9" and (department[1:].isalpha() or len(department) == 3)
    return ("97" if is_overseas else department) + number


def id_of(text: str) -> str:
    """Return a text as a logical id: itself if it can be one, else its beginning and a digest."""
    if _ID.fullmatch(text):
        return text
    plain = re.sub(r"[^A-Za-z0-9.-]", "-", text)[:47]
    return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
