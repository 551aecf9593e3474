"""The words of the files and the codes that they become, both ways: ``mappings/imports/vocabulaire.yaml``.

Every code that an import writes stands there, or in the description of its columns; here is only how it is read.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from fhir_server.definitions.guide import MAPPINGS
from fhir_server.france.importing import yaml_tree
from fhir_server.france.importing.findings import MappingsRefused
from fhir_server.france.importing.schema import Schema
from fhir_server.france.vocabulary import Json, concept, own, tre

FOLDER: Final = MAPPINGS / "imports"

SPECIALTIES: Final = "TRE_R38-SpecialiteOrdinale"


def system(name: str) -> str:
    """Return the URL of a code system named as the files do: national, of this project, or by its URL."""
    if name.startswith("TRE_"):
        return tre(name)
    return own(name) if name.startswith("cpts-") else name


@dataclass(frozen=True, slots=True)
class Word:
    """One word and its codes: ``code`` in ``system`` (a URL), perhaps a speciality, perhaps a code of LOINC."""

    name: str
    label: str
    system: str
    code: str
    specialty: str | None = None
    loinc: str | None = None

    @property
    def concept(self) -> Json:
        """The CodeableConcept of the code alone."""
        return concept(self.system, self.code)

    @property
    def specialties(self) -> list[Json]:
        """The CodeableConcept of the speciality, if there is one."""
        return [concept(system(SPECIALTIES), self.specialty)] if self.specialty else []


class Words:
    """One list of words."""

    def __init__(self, rows: list[dict[str, Any]], name: str) -> None:
        """Raises ``MappingsRefused`` where two rows have a spelling, or all codes, in common."""
        self.name = name
        self.all: dict[str, Word] = {}
        self._spellings: dict[str, Word] = {}
        for row in rows:
            codes = system(row["systeme"]), row["code"], row.get("specialite"), row.get("loinc")
            word = Word(row["nom"], row["libelle"], *codes)
            self.all[word.name] = word
            for spelling in {folded(text) for text in (word.name, word.label, *row.get("aussi", ()))}:
                if spelling in self._spellings:
                    raise MappingsRefused(f"vocabulaire.yaml, {name} : « {spelling} » est écrit deux fois")
                self._spellings[spelling] = word
        self._by_code = {(word.system, word.code, word.specialty): word for word in self.all.values()}
        if len(self._by_code) != len(rows):
            raise MappingsRefused(f"vocabulaire.yaml, {name} : deux mots ont le même code")

    def __getitem__(self, name: str) -> Word:
        return self.all[name]

    def spelt(self, text: str) -> Word | None:
        """Return the word that a person wrote, with or without accents, capitals and hyphens."""
        return self._spellings.get(folded(text))

    def of(self, concepts: list[Json], specialties: list[Json] | None = None) -> list[str]:
        """Return the names whose code stands in CodeableConcepts, in their order; what is not known is left out."""
        special = [coding["code"] for one in specialties or () for coding in one.get("coding", ())]
        found = []
        for one in concepts:
            for coding in one.get("coding", ()):
                key = (coding.get("system", ""), coding.get("code", ""))
                words = [self._by_code.get((*key, code)) for code in (*special, None)]
                found += [word.name for word in words if word is not None][:1]
        return found


@cache
def words(name: str) -> Words:
    """Return one list: ``professions``, ``missions`` … Raises ``FileRefused``, ``MappingsRefused``."""
    return Words(_document()[name], name)


@cache
def _document() -> Mapping[str, list[dict[str, Any]]]:
    found: Mapping[str, list[dict[str, Any]]] = load("vocabulaire.yaml", "vocabulaire.schema.json")
    return found


def load(name: str, schema: str, folder: Path = FOLDER) -> Any:
    """Return a file of mappings, held against its schema. Raises ``FileRefused``, ``MappingsRefused``."""
    found, faults = Schema.load(folder / schema).read(yaml_tree.read(folder / name))
    if faults:
        raise MappingsRefused("\n".join(map(str, faults)))
    return found


def folded(text: str) -> str:
    """Return a text as it is compared: without accents, capitals, apostrophes, hyphens and double spaces."""
    plain = (
        unicodedata.normalize("NFKD", text.replace("œ", "oe").replace("’", "'"))
        .encode("ascii", "ignore")
        .decode()
        .casefold()
    )
    return " ".join("".join(char if char.isalnum() else " " for char in plain).split())
