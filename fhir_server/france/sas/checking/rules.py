"""The rules that are checked: what must hold, where that is written and what to do, from ``mappings/sas-rules.json``.

Source: https://interop.esante.gouv.fr/ig/fhir/sas/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final, Literal, TypeAlias

from fhir_server.definitions.guide import MAPPINGS

Language: TypeAlias = Literal["fr", "en"]
FILE: Final = MAPPINGS / "sas-rules.json"


class Level(StrEnum):
    """What it means that a rule does not hold."""

    ERROR = "error"
    """The national recette would fail."""
    WARNING = "warning"
    """The guide asks for it, or production does; the recette does not look."""


@dataclass(frozen=True, slots=True)
class Words:
    """A rule in one language: what must hold, and the remedy where it does not."""

    rule: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Rule:
    """``id`` never changes once it was published. ``source`` names the page, the question or the test."""

    id: str
    level: Level
    source: str
    fr: Words
    en: Words

    def words(self, language: Language) -> Words:
        """Return its texts in a language."""
        return self.fr if language == "fr" else self.en


@cache
def rules() -> Mapping[str, Rule]:
    """Return all rules by their ids, in the order of the file, which is the order of reports."""
    rows = json.loads(FILE.read_text(encoding="utf-8"))["rules"]
    found = (Rule(row["id"], Level(row["level"]), row["source"], Words(*row["fr"]), Words(*row["en"])) for row in rows)
    return {rule.id: rule for rule in found}
