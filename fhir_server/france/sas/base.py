"""A base path that the platform calls: it registers one URL for each editor and flow.

Written as text: ``/sas``, or ``/sas-sos;guide=1.1.0;actors=sos;time=local;url=https://sas.example.org/sos``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~\-]{1,64}){1,8}")
_URL: Final = re.compile(r"https?://[^\s;,?#]{1,500}")


class Actor(StrEnum):
    """The actors of the guide that an editor's server plays."""

    PSINDIV = "psindiv"
    """Agenda of professionals who act individually, INT_R01."""
    CPTS = "cpts"
    """The same, with what the CPTS see, INT_R04."""
    SOS = "sos"
    """Agenda of SOS Médecins."""
    STRUCTURE = "structure"
    """Accounts of regulators, INT_R02."""
    RDV = "rdv"
    """The platform's own side: what it is told of appointments, INT_R03."""


class Version(StrEnum):
    """The versions of the guide that are served."""

    V1_1 = "1.1.0"
    V1_2 = "1.2.0"


_EDITOR: Final = (Actor.PSINDIV, Actor.CPTS, Actor.SOS, Actor.STRUCTURE)


@dataclass(frozen=True, slots=True)
class SasBase:
    """``path`` starts with a slash and has none at its end. ``url`` is the base as clients see it, if that differs.

    ``is_local_time``: the platform writes Paris time with ``+00:00`` behind it.
    """

    path: str
    version: Version = Version.V1_2
    actors: frozenset[Actor] = frozenset(_EDITOR)
    is_local_time: bool = False
    url: str | None = None


def read_base(text: str) -> SasBase:
    """Return the base path that a text describes. Raises ``ValueError`` with what is wrong, for a person to read."""
    path, *options = (part.strip() for part in text.split(";"))
    if not _PATH.fullmatch(path):
        raise ValueError(f"{path!r} is not a path like /sas")
    given: dict[str, str] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if name not in _READERS or not equals:
            raise ValueError(f"{option!r} is none of {', '.join(f'{name}=…' for name in _READERS)}")
        if name in given:
            raise ValueError(f"{name} stands twice for {path}")
        given[name] = value
    return SasBase(
        path,
        _version(given.get("guide", Version.V1_2)),
        _actors(given["actors"]) if "actors" in given else frozenset(_EDITOR),
        _is_local(given.get("time", "written")),
        _url(given["url"]) if "url" in given else None,
    )


_READERS: Final = ("guide", "actors", "time", "url")


def _version(text: str) -> Version:
    if text not in set(Version):
        raise ValueError(f"{text!r} is no version of the guide that is served; served are {', '.join(Version)}")
    return Version(text)


def _actors(text: str) -> frozenset[Actor]:
    names = text.split("+")
    unknown = [name for name in names if name not in set(Actor)]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no actor; there are {', '.join(Actor)}")
    return frozenset(map(Actor, names))


def _is_local(text: str) -> bool:
    if text not in {"written", "local"}:
        raise ValueError(f"time={text} is neither time=written nor time=local")
    return text == "local"


def _url(text: str) -> str:
    if not _URL.fullmatch(text):
        raise ValueError(f"{text!r} is not an http or https URL")
    return text.rstrip("/")
