"""Each format against each way in which a file goes wrong: what is told, and whether the file is refused whole.

What is special to one format stands in its own tests.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Final

import pytest

from fhir_server.france.importing.annuaire_file import AnnuaireFile
from fhir_server.france.importing.cpts_file import CptsFile
from fhir_server.france.importing.findings import FileRefused, Refused, Remark
from fhir_server.france.importing.finess_file import FinessFile
from fhir_server.france.importing.members_file import Cpts, MembersFile
from fhir_server.france.importing.source import Source
from tests.france.importing.test_registers import ALICE, FIRST, HEADER, NAMED, NAMES, SITE, WHERE, extract

GIGABYTE: Final = 1_000_000_000
MEMORY: Final = 4_000_000
"""Bytes that reading may take, whatever the size of the file."""

WITHOUT: Final = [key for key in NAMES if key != "profession"]
MEMBERS: Final = "RPPS;Nom;Prénom;Profession;Entrée\n"
MEMBER: Final = "99700990015;FICTIF;Alice;Médecin;28/05/2024\n"
DESCRIPTION: Final = "cle: essais\nnom: 'CPTS des Essais'\nfiness: '259999068'\n"
ROWS: Final = extract(ALICE, ALICE).decode()

OPENED: Final[Mapping[str, Callable[[Path], Source]]] = {
    "cpts": CptsFile,
    "membres": lambda path: MembersFile(path, Cpts("essais"), date(2026, 1, 5)),
    "annuaire": lambda path: AnnuaireFile(path, "france", None),
    "finess": lambda path: FinessFile(path, "france", None),
    "finess-named": lambda path: FinessFile(path, "france", None),
}
RIGHT: Final[Mapping[str, str]] = {
    "cpts": DESCRIPTION,
    "membres": MEMBERS + MEMBER,
    "annuaire": extract(ALICE).decode(),
    "finess": FIRST + SITE + WHERE,
    "finess-named": HEADER + NAMED,
}

WHOLE, LINE, TOLD, NOTHING = "refused whole", "a line refused", "a remark", "the same as without it"

CASES: Final[Mapping[str, Mapping[str, tuple[str | bytes, str, str]]]] = {
    "wrong encoding": {
        "cpts": (DESCRIPTION.encode("utf-16"), WHOLE, "f:1:1 : "),
        "membres": (RIGHT["membres"].encode("utf-16"), WHOLE, "f:1:"),
        "annuaire": (ROWS.encode("utf-16"), WHOLE, "f:1:"),
        "finess": (RIGHT["finess"].encode("utf-16"), WHOLE, "f:1:"),
        "finess-named": (RIGHT["finess-named"].encode("utf-16"), WHOLE, "f:1:"),
    },
    "two encodings": {
        "cpts": (DESCRIPTION.encode() + b"telephone: \xe9", WHOLE, "f:4:12 : n'est pas de l'UTF-8"),
        "membres": (MEMBERS.encode() + MEMBER.encode("cp1252"), WHOLE, "f:1 : mélange l'UTF-8 et le Windows-1252"),
        "annuaire": (extract(ALICE) + b"\xe9|\n", WHOLE, "f:1 : mélange l'UTF-8 et le iso-8859-1"),
        "finess": (RIGHT["finess"].encode() + b"\xe9\n", WHOLE, "f:2 : mélange l'UTF-8 et le iso-8859-1"),
        "finess-named": (RIGHT["finess-named"].encode() + b"\xe9\n", WHOLE, "f:2 : mélange l'UTF-8 et le iso-8859-1"),
    },
    "truncated": {
        "cpts": (DESCRIPTION[:-5], WHOLE, "f:3:16 : n'est pas du YAML"),
        "membres": (RIGHT["membres"][:-20], WHOLE, "f:2 : a 3 champs au lieu de 5, et le fichier s'arrête là"),
        "annuaire": (ROWS[:-40], WHOLE, "champs au lieu de"),
        "finess": (RIGHT["finess"][:-70], WHOLE, "f:3 : a 3 champs au lieu de 6, et le fichier s'arrête là"),
        "finess-named": (RIGHT["finess-named"][:-40], WHOLE, "f:2 : a 39 champs au lieu de 42, et le fichier s'arr"),
    },
    "missing column": {
        "cpts": ("cle: essais\nfiness: '259999068'\n", LINE, "« nom » manque. Remède : "),
        "membres": ((MEMBERS + MEMBER).replace("Nom;", "").replace("FICTIF;", ""), WHOLE, "f:1 : n'a pas la colonne"),
        "annuaire": (extract(ALICE, keys=WITHOUT), WHOLE, "f:1 : n'a pas la colonne « Code profession »"),
        "finess": (FIRST + SITE.replace("CH DES ESSAIS;", ""), LINE, "f:2 : a 31 champs au lieu de 32. Remède : "),
        "finess-named": (HEADER.replace("cog;", ""), WHOLE, "f:1 : n'a pas la colonne « cog »"),
    },
    "renamed column": {
        "cpts": (DESCRIPTION.replace("finess", "numero"), LINE, "f:3:1 : la clé « numero » n'est pas connue"),
        "membres": (RIGHT["membres"].replace("Entrée", "Arrivée"), WHOLE, "colonnes inconnues : Arrivée"),
        "annuaire": (ROWS.replace("Code profession", "Métier"), WHOLE, "colonnes inconnues : Métier"),
        "finess": (FIRST + SITE.replace("structureet", "structure"), LINE, "f:2 : a une section inconnue, « structur"),
        "finess-named": (HEADER.replace("cog", "insee"), WHOLE, "colonnes inconnues : "),
    },
    "column twice": {
        "cpts": (DESCRIPTION + "nom: Autre\n", WHOLE, "f:4:1 : contient deux fois la clé « nom »"),
        "membres": (RIGHT["membres"].replace("Prénom", "NOM"), WHOLE, "f:1:3 : a deux fois la colonne « NOM »"),
        "annuaire": (ROWS.replace("Code profession", "Code civilité"), WHOLE, "a deux fois la colonne « Code civilit"),
        "finess-named": (HEADER.replace("rslongue", "rs"), WHOLE, "f:1:4 : a deux fois la colonne « rs »"),
    },
    "duplicated line": {
        "cpts": (
            DESCRIPTION + "autres-noms: [A, A]\n",
            LINE,
            "f:4:18 : « autres-noms » contient deux fois le même élément",
        ),
        "membres": (MEMBERS + MEMBER + MEMBER, LINE, "f:3 : répète la ligne 2"),
        "annuaire": (ROWS, NOTHING, ""),
        "finess": (FIRST + SITE + SITE + WHERE, TOLD, "f:3 : remarque : répète l'établissement de la ligne 2"),
        "finess-named": (HEADER + NAMED + NAMED, TOLD, "f:3 : remarque : répète l'établissement de la ligne 2"),
    },
    "impossible identifier": {
        "cpts": (DESCRIPTION.replace("259999068", "25999906X"), LINE, "f:3:9 : « finess » a une valeur impossible"),
        "membres": (MEMBERS + MEMBER.replace("99700990015", "997"), LINE, "f:2 : a un numéro RPPS impossible, « 997 »"),
        "annuaire": (extract({**ALICE, "siret": "9"}), LINE, "f:2 : a un numéro SIRET impossible, « 9 »"),
        "finess": (FIRST + SITE.replace("259999035", "25", 1), LINE, "f:2 : a un numéro FINEG impossible, « 25 »"),
        "finess-named": (
            HEADER + NAMED.replace("259999043", "2", 1),
            LINE,
            "f:2 : a un numéro FINEJ impossible, « 2 »",
        ),
    },
    "empty": {
        "cpts": ("", WHOLE, "f:1:1 : est vide"),
        "membres": ("", WHOLE, "f : est vide"),
        "annuaire": ("", WHOLE, "f : est vide"),
        "finess": ("", WHOLE, "f : est vide"),
    },
    "another format": {
        "cpts": (MEMBERS + MEMBER, WHOLE, "f:1:1 : "),
        "membres": (ROWS, WHOLE, "f:1 : n'est pas séparé par des points-virgules"),
        "annuaire": (FIRST + SITE, WHOLE, "f:1 : n'a pas les colonnes"),
        "finess": (MEMBERS + MEMBER, WHOLE, "f:1 : ne commence ni par « finess;etalab; » ni par les noms des colonnes"),
    },
}


def _found(kind: str, path: Path) -> list[str]:
    return [str(one) for one in OPENED[kind](path) if isinstance(one, Refused | Remark)]


def _cases() -> Iterator[object]:
    for damage, by_kind in CASES.items():
        for kind, case in by_kind.items():
            yield pytest.param(kind, *case, id=f"{kind}, {damage}")


@pytest.mark.parametrize("kind", OPENED)
def test_a_file_that_is_right_is_told_nothing_of(kind: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text(RIGHT[kind], encoding="utf-8")
    assert _found(kind, tmp_path / "f") == []


@pytest.mark.parametrize(("kind", "text", "outcome", "told"), list(_cases()))
def test_a_file_that_went_wrong(kind: str, text: str | bytes, outcome: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    if outcome is WHOLE:
        with pytest.raises(FileRefused) as refused:
            _found(kind, path)
        assert told in str(refused.value)
        assert str(refused.value).endswith("Rien n'a été écrit.")
        return
    found = [one for one in OPENED[kind](path) if isinstance(one, Refused | Remark)]
    assert [type(one) for one in found] == ([] if outcome is NOTHING else [Refused if outcome is LINE else Remark])
    assert all(told in str(one) for one in found)
    if outcome is not LINE:
        wanted = [one for one in OPENED[kind](path) if not isinstance(one, Remark)]
        path.write_text(RIGHT[kind], encoding="utf-8")
        assert wanted == list(OPENED[kind](path))


@pytest.mark.parametrize("kind", OPENED)
def test_a_gigabyte_is_refused_at_its_first_wrong_line_in_little_memory(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text(RIGHT[kind], encoding="utf-8")
    with path.open("ab") as stream:
        stream.truncate(GIGABYTE)  # a file with a hole: it takes no room on the disk
    tracemalloc.start()
    try:
        with pytest.raises(FileRefused) as refused:
            _found(kind, path)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    line = RIGHT[kind].count("\n") + 1
    assert str(refused.value).startswith("f : dépasse" if kind == "cpts" else f"f:{line} : a une ligne de plus de")
