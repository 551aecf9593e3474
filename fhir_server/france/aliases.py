"""How French values are compared in searches: systems in all their spellings, numbers with and without their prefix,
telephone numbers and e-mail addresses however they are written. The spellings are data: ``mappings/aliases.json``.

Spec: https://hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from fhir_server.definitions.aliases import Aliases
from fhir_server.definitions.guide import MAPPINGS
from fhir_server.france.identifiers import forms
from fhir_server.france.telecom import compared

SPELLINGS: Final = MAPPINGS / "aliases.json"
_KEPT: Final = 4096
"""Systems whose one spelling is remembered; a directory uses some dozens."""


def french_aliases() -> Aliases:
    """Return the aliases of this guide. Raises ``ValueError`` naming what is wrong with their file."""
    return Aliases(spelling(), compared, forms)


@cache
def spelling() -> Callable[[str], str]:
    """Return what gives a system its one spelling, read once. Raises ``ValueError`` for a bad file."""
    return system_speller()


def system_speller(file: Path = SPELLINGS) -> Callable[[str], str]:
    """Return the same, read from a file. Raises ``ValueError`` for a bad file."""
    try:
        data = json.loads(file.read_bytes())
        spellings = _spellings(data["systemes"])
        tables = _Tables(data["nos"]["base"], data["nos"]["anciens"])
        spellings |= {f"urn:oid:{oid}": tables.url(folder) for oid, folder in data["nos"]["oid"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file.name} is no table of spellings: {error!r}") from error
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from error

    @lru_cache(maxsize=_KEPT)
    def spelled(system: str) -> str:
        return spellings.get(system) or tables.spelled(system) or system

    return spelled


def _spellings(systems: Mapping[str, list[str]]) -> dict[str, str]:
    """Return spelling → the one compared. Raises ``ValueError`` where one would lead to two."""
    found: dict[str, str] = {}
    for system, others in systems.items():
        for other in others:
            if other in found or other in systems:
                raise ValueError(f"{other} stands for two systems")
            found[other] = system
    return found


class _Tables:
    """The code systems of the national nomenclatures (NOS), whose folder tells which one a URL means."""

    def __init__(self, base: str, renamed: Mapping[str, str]) -> None:
        self._base = base
        self._renamed = renamed

    def url(self, folder: str) -> str:
        """Return the URL that is compared: the folder keeps its underscore, the leaf has a hyphen."""
        return f"{self._base}{folder}/FHIR/{folder.replace('_', '-', 1)}"

    def spelled(self, system: str) -> str | None:
        """Return the one URL of the table that a URL means, whatever follows its folder; None: it means none."""
        secure = system.replace("http://", "https://", 1)
        if not secure.startswith(self._base):
            return None
        folder = secure.removeprefix(self._base).partition("/")[0].replace("TRE-", "TRE_", 1)
        if not folder.startswith("TRE_"):
            return None
        return self.url(self._renamed.get(folder, folder))
