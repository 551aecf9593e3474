"""YAML and its schema: what is refused, with line and column; no text makes the reader fail otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.definitions.guide import MAPPINGS
from fhir_server.france.importing import yaml_tree
from fhir_server.france.importing.cpts_file import SCHEMA, CptsFile
from fhir_server.france.importing.findings import FileRefused, MappingsRefused, Refused, Remark
from fhir_server.france.importing.schema import Schema
from fhir_server.france.importing.vocabulary import Words, load, words
from fhir_server.france.importing.yaml_tree import MAX_BYTES, MAX_DEPTH, parse

LAUGHS = b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        (LAUGHS, "f:1:4", "ancre ou un alias"),
        (b"a: *b", "f:1:4", "ancre ou un alias"),
        (b"a: 1\nb: !!python/object/apply:os.system [ls]", "f:2:4", "tiquette de type"),
        (b"a: 1\nb: 2\na: 3", "f:3:1", "deux fois la clé"),
        (b"a: 1\n---\nb: 2", "f:2:1", "second document"),
        (b"", "f:1:1", "est vide"),
        (b"# rien", "f:1:7", "est vide"),
        (b"a:\n\t- b", "f:2:1", "n'est pas du YAML"),
        (b"a: [1, 2", "f:1:9", "n'est pas du YAML"),
        (b"a: 'b", "f:1:6", "n'est pas du YAML"),
        (b"a: 1\nb: caf\xe9", "f:2:7", "UTF-8"),
        (b"a: 1\nb: \x00", "f:2", "U+0000"),
        (b'a: "b\\0"', "f:1:4", "U+0000"),
        (b'a: 1\nb: "\\ud800"', "f:2:4", "U+D800"),
        (b'"\\a": b', "f:1:1", "U+0007"),
        (b"? [a]\n: b", "f:1:3", "pas un mot"),
        (b"[" * (MAX_DEPTH + 5), f"f:1:{MAX_DEPTH + 2}", "trop profond"),
        (b"a: " + b"b" * MAX_BYTES, "f", "octets"),
        ("a: 1\n".encode("utf-16"), "f:1:1", "UTF-8"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_where_it_stands(text: bytes, place: str, reason: str) -> None:
    with pytest.raises(FileRefused) as refused:
        parse(text, "f")
    assert reason in refused.value.reason
    assert str(refused.value.place) == place


def test_a_text_of_too_many_values_is_refused_before_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_tree, "MAX_NODES", 50)
    with pytest.raises(FileRefused, match=r"^f:1:100 : est trop profond ou trop long"):
        parse(b"[" + b"1," * 100 + b"1]", "f")


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_a_tree_or_refused(data: bytes) -> None:
    try:
        parse(data, "f")
    except FileRefused as refused:
        assert str(refused.place).startswith("f")


@given(
    st.lists(
        st.sampled_from(["a: ", "- ", "  ", "\n", "&x ", "*x", "!t ", "[", "]", "{", "}", "|", ">", "'", '"', "#", "?"])
    )
)
def test_any_marks_are_a_tree_or_refused(marks: list[str]) -> None:
    try:
        parse("".join(marks).encode(), "f")
    except FileRefused as refused:
        assert str(refused.place).startswith("f")


# --- the schema of a description -------------------------------------------------------------------------------------

START = "cle: essais\nnom: CPTS des Essais\n"


def findings(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "f.yaml"
    path.write_text(START + text, encoding="utf-8")
    return [str(found) for found in CptsFile(path) if isinstance(found, Refused | Remark)]


def test_a_file_that_is_no_description_is_told_what_one_is(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text("- a\n", encoding="utf-8")
    with pytest.raises(
        FileRefused, match=r"« le fichier » a une valeur d'une autre sorte\. Remède : écrivez un groupe"
    ):
        list(CptsFile(tmp_path / "f.yaml"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("telephone: '0381000000'", "f.yaml:3:12 : « telephone » a une valeur impossible. Remède : écrivez un numéro"),
        ("telefone: '+33381000000'", "f.yaml:3:1 : la clé « telefone » n'est pas connue. Remède : les clés possibles"),
        ("population:\n  habitants: 12\n  lieux:\n    - {nom: A}", "f.yaml:5:3 : la clé « population.lieux » n'est"),
        (
            "population: {libelle: beaucoup}",
            "f.yaml:3:13 : « population.habitants » manque. Remède : ajoutez le nombre",
        ),
        ("population: {habitants: '12'}", "f.yaml:3:25 : « population.habitants » a une valeur impossible"),
        ("population: {habitants: 0}", "f.yaml:3:25 : « population.habitants » a une valeur impossible"),
        (
            "missions:\n  - {code: autre, nom: X}",
            "f.yaml:4:12 : « missions[1].code » a une valeur impossible, « autre ». Remède : écr",
        ),
        ("missions: []", "f.yaml:3:11 : la liste « missions » est vide"),
        ("missions: {}", "f.yaml:3:11 : « missions » a une valeur d'une autre sorte. Remède : écrivez une liste"),
        ("autres-noms: [A, A]", "f.yaml:3:18 : « autres-noms » contient deux fois le même élément"),
        ("contexte:", "f.yaml:3:10 : « contexte » a une valeur d'une autre sorte"),
        ("signature: 2024-02-31", "f.yaml:3:12 : « 2024-02-31 » n'est pas une date qui existe"),
        ("finess: '259999010'", "f.yaml:3:9 : remarque : la clé de contrôle du numéro FINEG 259999010 n'est pas"),
        (
            "finess: 25999906",
            "f.yaml:3:9 : « finess » a une valeur impossible. Remède : écrivez un numéro FINESS : 9 car",
        ),
        (
            "colleges:\n  - {id: c, nom: C, membres: [{structure: x, role: membre}]}",
            "f.yaml:4:43 : « x » n'est pas décrit. Remède : ajoutez cette structure à sa liste.",
        ),
        (
            "colleges:\n  - {id: c, nom: C, membres: [{role: membre}]}",
            "f.yaml:4:31 : désigne une personne ou une structure. Remède : donnez l'une des deux.",
        ),
        (
            "colleges:\n  - {id: c, nom: C}\nequipes:\n  - {id: c, nom: D, categorie: bureau}",
            "f.yaml:6:10 : « c » est décrit deux fois",
        ),
        (
            "membres:\n  - {id: m, nom: N, prenom: P, depuis: 2024-05-01, jusqu-a: 2024-01-01}",
            "f.yaml:4:61 : « jusqu-a » précède « depuis »",
        ),
        (
            "territoire:\n  libelle: T\n  nombre-communes: 1\n"
            "  communes: [{insee: '25056', nom: A}, {insee: '25388', nom: B}]",
            "f.yaml:5:20 : 2 communes sont nommées. Remède : corrigez le nombre de communes.",
        ),
        (
            "services:\n  - {id: s, nom: S, mission: snp, ouvertures: [{jours: [lundi], de: '14:00', a: '09:00'}]}",
            "f.yaml:4:81 : « a » précède « de »",
        ),
    ],
)
def test_what_is_wrong_with_a_description_is_told_with_its_place_and_remedy(
    text: str, told: str, tmp_path: Path
) -> None:
    [found] = findings(tmp_path, text)
    assert found.startswith(told)


def test_a_description_without_key_is_refused_whole(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("nom: X\n", encoding="utf-8")
    with pytest.raises(FileRefused, match="« cle » manque"):
        CptsFile(path)


def test_all_faults_of_a_description_are_told_at_once(tmp_path: Path) -> None:
    assert len(findings(tmp_path, "siret: x\ncourriel: x\nmissions: []")) == 3


# --- the files of mappings -------------------------------------------------------------------------------------------


def test_the_schema_of_descriptions_knows_the_words_of_the_vocabulary() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    properties, defs = schema["properties"], schema["$defs"]

    def codes(rule: Any, key: str) -> set[str]:
        return set(rule["items"]["properties"][key]["enum"])

    assert codes(properties["missions"], "code") == set(words("missions").all)
    assert codes(properties["parcours"], "code") == set(words("parcours").all)
    assert codes(properties["membres"], "profession") == set(words("professions").all)
    assert codes(properties["membres"], "fonction") == set(words("fonctions").all)
    assert codes(properties["equipes"], "categorie") == set(words("equipes").all) - {"college", "parcours"}
    assert codes(defs["membres-d-equipe"], "role") == set(words("roles").all)
    links = properties["structures"]["items"]["properties"]["liens"]
    assert set(links["items"]["enum"]) == set(words("liens").all)
    assert set(defs["publics"]["items"]["enum"]) == set(words("publics").all)


@pytest.mark.parametrize("path", sorted(MAPPINGS.rglob("*.schema.json")), ids=lambda path: path.name)
def test_each_schema_says_only_what_is_checked(path: Path) -> None:
    Schema.load(path)


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "string", "format": "date"},
        {"type": "object", "properties": {"a": {}}},
        {"type": "array", "items": {"maxItems": 1}},
    ],
)
def test_a_schema_that_says_more_is_refused_when_it_is_loaded(rule: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="#"):
        Schema(rule)


def test_a_file_of_mappings_that_is_wrong_says_where(tmp_path: Path) -> None:
    schema = (MAPPINGS / "imports" / "colonnes.schema.json").read_text(encoding="utf-8")
    (tmp_path / "s.json").write_text(schema, encoding="utf-8")
    (tmp_path / "c.yaml").write_text("colonnes:\n  - {cle: RPPS, noms: []}\n", encoding="utf-8")
    with pytest.raises(MappingsRefused, match=r"c\.yaml:2:11 .*\n.*c\.yaml:2:23 "):
        load("c.yaml", "s.json", tmp_path)


ROW = {"nom": "a", "libelle": "A", "systeme": "cpts-role", "code": "a"}


@pytest.mark.parametrize("other", [{**ROW, "code": "b"}, {**ROW, "nom": "b", "libelle": "B"}])
def test_a_vocabulary_says_each_word_and_code_once(other: dict[str, str]) -> None:
    with pytest.raises(MappingsRefused, match="deux"):
        Words([ROW, other], "roles")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Sage-Femme", "sage-femme"),
        ("SAGE FEMME", "sage-femme"),
        ("infirmière", "infirmier"),
        ("Kiné", "masseur-kinesitherapeute"),
        ("boulanger", None),
    ],
)
def test_a_profession_is_known_as_people_write_it(text: str, name: str | None) -> None:
    word = words("professions").spelt(text)
    assert (word and word.name) == name
