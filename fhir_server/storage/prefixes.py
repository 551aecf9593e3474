"""Texts with a prefix as a range, which an index serves on every engine."""

from __future__ import annotations


def successor(prefix: str) -> str | None:
    """Return the least text greater than every text that starts with ``prefix``; None if there is none."""
    while prefix:
        code = ord(prefix[-1]) + 1
        if code == 0xD800:
            code = 0xE000
        if code <= 0x10FFFF:
            return prefix[:-1] + chr(code)
        prefix = prefix[:-1]
    return None
