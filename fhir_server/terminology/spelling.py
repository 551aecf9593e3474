"""A code system whose URL is written in several ways: which one of those that are here a URI means.

What is loaded under the URI itself is meant by it; only then its other spellings count.
Spec: https://hl7.org/fhir/R4/terminologies.html#system
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fhir_server.definitions.library import Library
from fhir_server.model.formats import Resource

T = TypeVar("T")


class Spelled(Library):
    """A library that knows other spellings: ``compared`` gives the one by which a URI is compared."""

    def __init__(self, library: Library, compared: Callable[[str], str]) -> None:
        self._library = library
        self._compared = compared

    def find(self, canonical: str, type: str | None = None) -> Resource | None:
        """Return what the library has; a canonical URL is never taken for another one."""
        return self._library.find(canonical, type)

    def meant(self, system: str) -> str:
        """Return the URL of the code system that a URI means: its own where that is here, else the one compared."""
        return system if self.find(system, "CodeSystem") is not None else self._compared(system)


def with_spellings(work: Callable[[Library], T], compared: Callable[[str], str]) -> Callable[[Library], T]:
    """Return the same work on a library, in which code systems are known by all of their spellings."""
    return lambda library: work(Spelled(library, compared))


def meant(library: Library, system: str) -> str:
    """Return the URL of the code system that a URI means; the URI itself where a library knows no other spellings."""
    return library.meant(system) if isinstance(library, Spelled) else system


def is_same(library: Library, one: str | None, other: str | None) -> bool:
    """Tell whether two URIs mean one code system."""
    return one == other or (one is not None and other is not None and meant(library, one) == meant(library, other))


def otherwise(library: Library, system: str) -> str | None:
    """Return the URL that a URI was understood as, None where that is the URI itself."""
    understood = meant(library, system)
    return None if understood == system else understood
