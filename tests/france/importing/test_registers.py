"""The national registers: both layouts of the Annuaire Santé, FINESS, and the habits of their files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fhir_server.definitions.guide import MAPPINGS
from fhir_server.france.importing.annuaire_file import AnnuaireFile
from fhir_server.france.importing.extraction import extraction
from fhir_server.france.importing.findings import FileRefused, Refused, Remark
from fhir_server.france.importing.finess_file import FinessFile
from fhir_server.france.importing.source import Wanted
from fhir_server.maintenance.progress import CommandFailed
from tests.france.importing.importing_world import Json, World, numbers, write

NAMES = {column.key: column.names[-1] for column in extraction().columns}
ALICE = {
    **{"type": "8", "numero": "99700990015", "idnps": "899700990015", "civilite-exercice": "DR", "civilite": "M"},
    **{"nom": "FICTIF", "prenom": "ALICE", "profession": "10", "categorie": "C", "type-savoir-faire": "S"},
    **{"savoir-faire": "SM54", "mode": "L", "technique": "R10100009990001", "raison-sociale": "CABINET FICTIF"},
    **{
        "voie-numero": "12",
        "voie-type": "Rue",
        "voie": "DES ESSAIS",
        "cedex": "25000 BESANCON",
        "code-postal": "25000",
    },
    **{"commune": "25056", "commune-nom": "Besançon", "pays": "99000", "telephone": "01 99 00 99 01"},
    **{"idnst": "499700990015001", "secteur": "SA07", "fonction": "FON-01", "genre": "GENR01"},
}
HOSPITAL = {
    **{"finess": "259999035", "finess-ej": "259999043", "technique": "F259999035", "idnst": "1259999035"},
    **{"raison-sociale": "CENTRE HOSPITALIER DES ESSAIS", "secteur": "SA01", "mode": "S", "fonction": ""},
    **{"cedex": "25030 BESANCON CEDEX", "commune-nom": "", "code-postal": "", "commune": "25056"},
}


def extract(*rows: Mapping[str, str], keys: list[str] | None = None, encoding: str = "utf-8") -> bytes:
    """Return an extraction: the columns of some keys, a row for each mapping."""
    keys = keys or list(NAMES)
    lines = ["|".join(NAMES[key] for key in keys) + "|"]
    lines += ["|".join(row.get(key, "") for key in keys) + "|" for row in rows]
    return "\r\n".join([*lines, ""]).encode(encoding)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "registre.txt"


def annuaire(file: Path, data: bytes, communes: frozenset[str] | None = None) -> dict[str, Json]:
    """Return the resources that an extraction wants, by key."""
    file.write_bytes(data)
    found = list(AnnuaireFile(file, "france", communes))
    assert all(isinstance(one, Wanted) for one in found), found
    return {str(one.key): one.resource for one in found if isinstance(one, Wanted)}


def refusals(source: Any) -> list[str]:
    return [str(one) for one in source if isinstance(one, Refused | Remark)]


def codes(concepts: Any) -> list[str]:
    return [coding["code"] for concept in concepts for coding in concept["coding"]]


def test_a_row_is_a_person_a_structure_a_place_and_a_role(file: Path) -> None:
    found = annuaire(file, extract(ALICE))
    assert list(found) == [
        "Organization/structure-499700990015001",
        "Location/structure-499700990015001",
        "Practitioner/ps-899700990015-10",
        "PractitionerRole/ps-899700990015-10-structure-499700990015001",
    ]
    structure, place, person, role = found.values()
    assert person["name"] == [
        {"use": "usual", "family": "FICTIF", "given": ["ALICE"], "prefix": ["M"], "suffix": ["DR"]}
    ]
    assert [one["value"] for one in person["identifier"]] == ["899700990015", "99700990015"]
    assert codes(one["code"] for one in person["qualification"]) == ["C", "10", "S", "SM54"]
    assert codes(role["code"]) == ["L", "FON-01", "GENR01"]
    assert role["telecom"] == [{"system": "phone", "value": "+33199009901"}]
    assert structure["identifier"][0]["value"] == "499700990015001"
    assert codes(structure["type"]) == ["SA07"]
    assert place["address"]["line"] == ["12 Rue DES ESSAIS"]
    assert place["address"]["extension"][0]["valueCoding"]["code"] == "25056"
    assert place["address"]["country"] == "FR"


def test_columns_are_found_by_name_in_any_order_and_encoding(file: Path) -> None:
    shuffled = [key for key in reversed(NAMES) if key not in {"enseigne", "siren", "courriel"}]
    utf8 = annuaire(file, extract(ALICE, keys=shuffled))
    latin = annuaire(file, extract(ALICE, encoding="iso-8859-1"))
    assert utf8 == latin == annuaire(file, b"\xef\xbb\xbf" + extract(ALICE))


def test_the_restricted_layout_knows_the_civil_name(file: Path) -> None:
    row = {**ALICE, "nom-famille": "NAISSANCE", "prenoms": "ALICE'BRUNE'", "naissance": "07/07/1999", "sexe": "F"}
    person = annuaire(file, extract(row))["Practitioner/ps-899700990015-10"]
    assert person["name"][1] == {"use": "official", "family": "NAISSANCE", "given": ["ALICE", "BRUNE"]}
    assert (person["birthDate"], person["gender"]) == ("1999-07-07", "female")


def test_rows_of_one_person_become_one_person_with_all_roles_and_competences(file: Path) -> None:
    second = {**ALICE, "savoir-faire": "SM40", "fonction": "FON-22"}
    found = annuaire(file, extract(ALICE, {**ALICE, **HOSPITAL}, second))
    person = found["Practitioner/ps-899700990015-10"]
    assert codes(one["code"] for one in person["qualification"]) == ["C", "10", "S", "SM54", "S", "SM40"]
    roles = {key: codes(one["code"]) for key, one in found.items() if key.startswith("PractitionerRole")}
    assert list(roles.values()) == [["S", "GENR01"], ["L", "FON-01", "GENR01", "FON-22"]]


@pytest.mark.parametrize(
    ("type_", "code", "table"),
    [
        ("S", "SM54", "TRE_R38-SpecialiteOrdinale"),
        ("S", "SCD01", "TRE_R38-SpecialiteOrdinale"),
        ("S", "SST17", "TRE_R359-SurspecialiteTransversale"),
        ("C", "C12", "TRE_R39-Competence"),
        ("CEX", "CEX22", "TRE_R40-CompetenceExclusive"),
        ("DNQ", "DSM213", "TRE_R42-DESCnonQualifiant"),
        ("CAPA", "CAPA06", "TRE_R43-CapaciteSavoirFaire"),
        ("PAC", "PAC00", "TRE_R44-QualificationPAC"),
        ("FQ", "FQ01", "TRE_R45-FonctionQualifiee"),
        ("DEC", "DEC14", "TRE_R97-DroitExerciceCompl"),
        ("OP", "81", "TRE_G13-OrientationParticuliere"),
    ],
)
def test_a_competence_is_a_code_of_its_own_table(type_: str, code: str, table: str, file: Path) -> None:
    row = {**ALICE, "type-savoir-faire": type_, "savoir-faire": code}
    person = annuaire(file, extract(row))["Practitioner/ps-899700990015-10"]
    [_, competence] = person["qualification"]
    assert competence["code"]["coding"][1] == {
        "system": f"https://mos.esante.gouv.fr/NOS/{table}/FHIR/{table.replace('_', '-')}",
        "code": code,
    }


def test_a_pharmacist_has_the_section_of_the_order(file: Path) -> None:
    row = {**ALICE, "profession": "21", "section": "A", "savoir-faire": "", "type-savoir-faire": ""}
    role = annuaire(file, extract(row))["PractitionerRole/ps-899700990015-21-structure-499700990015001"]
    assert codes(role["code"]) == ["L", "A", "FON-01", "GENR01"]


def test_two_professions_of_one_number_are_two_practitioners(file: Path) -> None:
    found = annuaire(file, extract(ALICE, {**ALICE, "profession": "60", "savoir-faire": "", "type-savoir-faire": ""}))
    assert [key for key in found if key.startswith("Practitioner/")] == [
        "Practitioner/ps-899700990015-10",
        "Practitioner/ps-899700990015-60",
    ]


def test_a_site_belongs_to_its_legal_entity_and_cedex_is_no_town(file: Path) -> None:
    found = annuaire(file, extract({**ALICE, **HOSPITAL}))
    site, parent = found["Organization/finess-259999035"], found["Organization/finess-259999043"]
    assert site["partOf"] == {"reference": "Organization/finess-259999043"}
    assert [one["value"] for one in site["identifier"]] == ["1259999035", "259999035"]
    assert parent["identifier"][0]["type"]["coding"][0]["code"] == "FINEJ"
    assert (site["address"][0]["city"], site["address"][0]["postalCode"]) == ("BESANCON", "25030")


def test_a_person_without_structure_has_no_role(file: Path) -> None:
    bare = {key: ALICE[key] for key in ("type", "numero", "idnps", "nom", "profession")}
    assert list(annuaire(file, extract(bare))) == ["Practitioner/ps-899700990015-10"]


def test_stray_spaces_in_numbers_and_an_apostrophe_in_a_name_are_what_they_are(file: Path) -> None:
    row = {**ALICE, "numero": "99700990015\u00a0", "idnps": "\u00a0899700990015", "prenom": "D'ARC ÉLISE"}
    person = annuaire(file, extract(row))["Practitioner/ps-899700990015-10"]
    assert person["identifier"][1]["value"] == "99700990015"
    assert person["name"][0]["given"] == ["D'ARC ÉLISE"]


def test_a_former_adeli_number_and_a_psychologist_are_known(file: Path) -> None:
    row = {**ALICE, "type": "0", "numero": "259999050", "idnps": "0259999050", "profession": "93", "savoir-faire": ""}
    person = annuaire(file, extract(row))["Practitioner/ps-0259999050-93"]
    assert person["identifier"][1]["type"]["coding"][0]["code"] == "ADELI"
    assert person["qualification"][0]["code"]["coding"][1]["system"].endswith("UsagerTitre")


def test_one_structure_with_two_labels_is_one(file: Path) -> None:
    other = {**ALICE, "numero": "99700990023", "idnps": "899700990023", "raison-sociale": "AUTRE LIBELLE"}
    found = annuaire(file, extract(ALICE, other))
    assert [one["name"] for key, one in found.items() if key.startswith("Organization")] == ["AUTRE LIBELLE"]
    assert found == annuaire(file, extract(other, ALICE))


def test_rows_of_other_communes_are_left_out_before_they_are_checked(file: Path) -> None:
    wrong = {**ALICE, "commune": "75056", "idnps": "impossible"}
    assert len(annuaire(file, extract(ALICE, wrong), frozenset({"25056"}))) == 4


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"numero": "00AMAR01", "idnps": "800AMAR01"}, "a un numéro IDNPS impossible, « 800AMAR01 »"),
        ({"idnps": ""}, "n'a pas de numéro IDNPS"),
        ({"idnps": "899700990023"}, "a un numéro 99700990015 et un identifiant national 899700990023 qui ne vont pas"),
        ({"siret": "9"}, "a un numéro SIRET impossible, « 9 »"),
        ({"profession": "99"}, "a un code inconnu pour Practitioner.qualification.code, « 99 ». Remède : ajoutez"),
        ({"secteur": "autre"}, "a un code inconnu pour Organization.type"),
    ],
)
def test_a_row_that_is_wrong_is_told_with_its_number(changed: dict[str, str], told: str, file: Path) -> None:
    file.write_bytes(extract(ALICE, {**ALICE, **changed}))
    [found] = refusals(AnnuaireFile(file, "france", None))
    assert found.startswith(f"registre.txt:3 : {told}")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "registre.txt : est vide"),
        (
            extract(ALICE, keys=["type", "numero", "nom"]),
            "registre.txt:1 : n'a pas les colonnes « Identification nationale PP »",
        ),
        (extract(ALICE)[:-40], "et le fichier s'arrête là"),
        (extract(ALICE).replace(b"DES ESSAIS", b"DES\x00ESSAIS"), "contient le caractère U+0000"),
        (extract(ALICE).decode().encode("utf-16"), "registre.txt:1:"),
    ],
)
def test_an_extraction_that_is_wrong_is_refused_whole(data: bytes, told: str, file: Path) -> None:
    file.write_bytes(data)
    with pytest.raises(FileRefused) as refused:
        refusals(AnnuaireFile(file, "france", None))
    assert told in str(refused.value)


def test_a_row_of_another_width_is_told_and_the_others_are_read(file: Path) -> None:
    file.write_bytes(extract(ALICE).replace(b"SA07|", b"SA07", 1) + extract(ALICE).split(b"\r\n")[1] + b"\r\n")
    [found] = refusals(AnnuaireFile(file, "france", None))
    assert found.startswith(f"registre.txt:2 : a {len(NAMES)} champs au lieu de {len(NAMES) + 1}")


# --- FINESS ----------------------------------------------------------------------------------------------------------

FIRST = "finess;etalab;99;2026-01-01\n"
SITE = (
    "structureet;259999035;259999043;CH DES ESSAIS;CENTRE HOSPITALIER DES ESSAIS;;;3;BD;DU TEST;;CS 99999;056;25;DOUBS;"
    "25030 BESANCON CEDEX;0199009904;;355;Centre Hospitalier (C.H.);1102;Centres Hospitaliers;99999901400015;8610Z;03;"
    "Établissement à dotation;1;Etablissement public de santé;13/02/1979;1979-02-13;2025-12-01;\n"
)
WHERE = "geolocalisation;259999035;928723.26;6686324.57;1,ATLASANTE,100,IGN,BD_ADRESSE,V2.2,LAMBERT_93;2025-12-01\n"


def finess(
    file: Path, text: str, encoding: str = "iso-8859-1", communes: frozenset[str] | None = None
) -> dict[str, Json]:
    file.write_bytes(text.encode(encoding))
    return {str(one.key): one.resource for one in FinessFile(file, "france", communes) if isinstance(one, Wanted)}


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-8"])
def test_a_site_is_a_structure_and_a_place_with_its_position(encoding: str, file: Path) -> None:
    found = finess(file, FIRST + SITE + WHERE, encoding)
    assert list(found) == [
        "Organization/finess-259999043",
        "Organization/finess-259999035",
        "Location/finess-259999035",
    ]
    _, site, place = found.values()
    assert (site["name"], site["alias"]) == ("CENTRE HOSPITALIER DES ESSAIS", ["CH DES ESSAIS"])
    assert [one["value"] for one in site["identifier"]] == ["1259999035", "259999035", "99999901400015"]
    assert site["extension"][0]["valuePeriod"] == {"start": "1979-02-13"}
    assert codes(site["type"]) == ["355"]
    assert site["telecom"] == [{"system": "phone", "value": "+33199009904"}]
    assert place["address"]["city"] == "BESANCON"
    assert place["address"]["line"] == ["3 BD DU TEST", "CS 99999"]
    assert place["position"] == {"longitude": 6.0241, "latitude": 47.2378}


def test_coordinates_may_come_first_or_be_of_no_known_projection(file: Path) -> None:
    assert "position" in finess(file, FIRST + WHERE + SITE)["Location/finess-259999035"]
    strange = WHERE.replace("LAMBERT_93", "MARS")
    file.write_text(FIRST + SITE + strange + SITE + WHERE.replace("928723.26", "nan"), encoding="utf-8")
    assert [text.partition(" : remarque : ")[2] for text in refusals(FinessFile(file, "france", None))] == [
        "répète l'établissement de la ligne 2.",
        "a des coordonnées que l'on ne sait pas convertir.",
        "a des coordonnées que l'on ne sait pas convertir.",
    ]


@pytest.mark.parametrize(
    ("number", "department", "insee"),
    [
        ("056", "25", "25056"),
        ("004", "2A", "2A004"),
        ("105", "9A", "97105"),
        ("411", "974", "97411"),
        ("411", "9D", "97411"),
    ],
)
def test_the_insee_code_is_rebuilt_overseas_too(number: str, department: str, insee: str, file: Path) -> None:
    text = SITE.replace(";056;25;", f";{number};{department};")
    place = finess(file, FIRST + text)["Location/finess-259999035"]
    assert place["address"]["extension"][0]["valueCoding"]["code"] == insee
    assert finess(file, FIRST + text, communes=frozenset({"00000"})) == {}
    assert len(finess(file, FIRST + text, communes=frozenset({insee}))) == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (FIRST + SITE.replace("259999035", "25999", 1), "registre.txt:2 : a un numéro FINEG impossible, « 25999 »"),
        (FIRST + SITE.replace("99999901400015", "1"), "registre.txt:2 : a un numéro SIRET impossible"),
        (FIRST + "autre;1\n", "registre.txt:2 : a une section inconnue, « autre »"),
        (FIRST + SITE.replace("CH DES ESSAIS;", ""), "registre.txt:2 : a 31 champs au lieu de 32"),
    ],
)
def test_a_row_of_finess_that_is_wrong_is_told(text: str, told: str, file: Path) -> None:
    file.write_text(text, encoding="utf-8")
    [found] = refusals(FinessFile(file, "france", None))
    assert found.startswith(told)


@pytest.mark.parametrize("text", [SITE, "nofinesset;rs\n", FIRST + SITE[:-30]])
def test_a_file_that_is_no_finess_or_cut_is_refused_whole(text: str, file: Path) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(FileRefused):
        refusals(FinessFile(file, "france", None))


HEADER = (
    "nofinesset;nofinessej;rs;rslongue;complrs;compldistrib;numvoie;typvoie;voie;compvoie;lieuditbp;region;libregion;"
    "departement;libdepartement;cog;codepostal;libelle_routage;ligneacheminement;telephone;telecopie;categetab;"
    "libcategetab;liblongcategetab;categretab;libcategretab;siret;codeape;libcodeape;mft;libmft;liblongmft;sph;libsph;"
    "numen;coordx;coordy;sourcegeocod;dategeocod;dateautor;dateouvert;datemaj\n"
)
NAMED = (
    "259999035;259999043;CH DES ESSAIS;CENTRE HOSPITALIER DES ESSAIS;;;3;BD;DU TEST;;CS 99999;27;"
    "BOURGOGNE-FRANCHE-COMTE;25;DOUBS;25056;25030;BESANCON;25030 BESANCON CEDEX;01 99 00 99 04;;355;C.H.;"
    "Centre Hospitalier (C.H.);1102;Centres Hospitaliers;99999901400015;8610Z;Activités hospitalières;03;ARS;"
    "Établissement à dotation;1;Etab.public de santé;;928723.26;6686324.57;"
    "1,ATLASANTE,100,IGN,BD_ADRESSE,V2.2,LAMBERT_93;2025-01-04;1979-02-13;1979-02-13;2025-12-01\n"
)


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-8", "utf-8-sig"])
def test_the_file_with_a_header_says_the_same_of_a_site(encoding: str, file: Path) -> None:
    assert finess(file, HEADER + NAMED, encoding) == finess(file, FIRST + SITE + WHERE)


def test_the_named_columns_may_stand_in_any_order_and_some_be_missing(file: Path) -> None:
    names, fields = HEADER.strip().split(";"), NAMED.strip().split(";")
    kept = [place for place in reversed(range(42)) if names[place] not in {"coordx", "liblongmft", "ligneacheminement"}]
    text = "\n".join(";".join(row[place] for place in kept) for row in (names, fields)) + "\n"
    place = finess(file, text)["Location/finess-259999035"]
    assert "position" not in place
    assert (place["address"]["postalCode"], place["address"]["city"]) == ("25030", "BESANCON")
    assert finess(file, text, communes=frozenset({"25056"})) == finess(file, text)
    assert finess(file, text, communes=frozenset({"25388"})) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (NAMED.replace("259999035", "25999", 1), "registre.txt:2 : a un numéro FINEG impossible, « 25999 »"),
        (NAMED.replace("99999901400015", "1"), "registre.txt:2 : a un numéro SIRET impossible"),
        (NAMED.replace("CH DES ESSAIS;", ""), "registre.txt:2 : a 41 champs au lieu de 42"),
        (NAMED.replace("LAMBERT_93", "MARS"), "registre.txt:2 : remarque : a des coordonnées que l'on ne sait pas"),
        (NAMED + NAMED, "registre.txt:3 : remarque : répète l'établissement de la ligne 2"),
    ],
)
def test_a_named_row_of_finess_that_is_wrong_is_told(text: str, told: str, file: Path) -> None:
    file.write_text(HEADER + text, encoding="utf-8")
    [found] = refusals(FinessFile(file, "france", None))
    assert found.startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEADER.replace(";cog;", ";code;"), "registre.txt:1 : n'a pas la colonne « cog ». Remède : "),
        (HEADER.replace("siret;", ""), "registre.txt:1 : n'a pas la colonne « siret »"),
        (HEADER.replace("rslongue", "rs"), "registre.txt:1:4 : a deux fois la colonne « rs »"),
        (HEADER + NAMED[:-40], "registre.txt:2 : a 39 champs au lieu de 42, et le fichier s'arrête là"),
        (HEADER.replace(";", ","), "registre.txt:1 : ne commence ni par « finess;etalab; » ni par les noms"),
        ("", "registre.txt : est vide"),
    ],
)
def test_a_named_file_of_finess_that_is_wrong_is_refused_whole(text: str, told: str, file: Path) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(FileRefused) as refused:
        refusals(FinessFile(file, "france", None))
    assert str(refused.value).startswith(told)


# --- into a store ----------------------------------------------------------------------------------------------------


async def test_registers_fill_a_territory_and_know_each_other(empty: World, tmp_path: Path) -> None:
    text, directory, register = tmp_path / "e.yaml", tmp_path / "a.txt", tmp_path / "f.csv"
    write(text, Path(__file__).with_name("essais.yaml").read_text(encoding="utf-8"))
    write(directory, extract({**ALICE, "profession": "10"}, {**ALICE, **HOSPITAL}, {**ALICE, "commune": "75056"}))
    write(register, FIRST + SITE + WHERE)
    await empty.file("cpts", text)
    told = await empty.file("annuaire", directory, cpts="essais")
    assert (numbers(told), told.run) == ((7, 0, 0, 0, 1), told.run)
    assert numbers(await empty.file("finess", register, communes=["25056"])) == (0, 2, 0, 0, 1)
    assert numbers(await empty.file("annuaire", directory, cpts="essais")) == (0, 0, 0, 5, 3)
    assert numbers(await empty.file("finess", register, communes=["25056"])) == (0, 0, 0, 2, 1)


@pytest.mark.parametrize(
    ("cpts", "communes", "told"),
    [
        ("inconnue", [], "n'est pas dans ce serveur"),
        (None, ["250"], "n'est pas un code commune INSEE"),
        ("avenir-sante", [], "ne nomme pas ses communes"),
    ],
)
async def test_a_territory_must_be_one(
    cpts: str | None, communes: list[str], told: str, empty: World, file: Path
) -> None:
    write(file, extract(ALICE))
    await empty.file("cpts", MAPPINGS / "cpts" / "avenir-sante.yaml")
    with pytest.raises(CommandFailed, match=told):
        await empty.file("annuaire", file, cpts=cpts, communes=communes)


async def test_a_file_without_a_line_of_the_territory_says_so(empty: World, file: Path) -> None:
    write(file, extract(ALICE))
    await empty.file("annuaire", file, communes=["90010"])
    told = "Aucune ligne du fichier n'est à importer : vérifiez qu'il est complet, et du territoire demandé."
    assert empty.said[-1] == told


async def test_a_site_that_is_two_structures_here_is_told_with_both_and_how_to_go_on(
    empty: World, tmp_path: Path
) -> None:
    directory, register = tmp_path / "a.txt", tmp_path / "f.csv"
    company = {**ALICE, "siret": "99999901400015", "idnst": "399999901400015", "raison-sociale": "CH"}
    write(directory, extract({**ALICE, **HOSPITAL, "finess-ej": ""}, company))
    write(register, HEADER + NAMED)
    await empty.file("annuaire", directory)
    with pytest.raises(CommandFailed):
        await empty.file("finess", register)
    both = "finess-259999035 (259999035) et siret-99999901400015 (99999901400015)"
    assert empty.told[0] == (
        f"f.csv:2 : plusieurs Organization du serveur ont l'un de ses identifiants : {both}. "
        "Remède : rendez inactif celui qui est en trop, puis relancez cet import."
    )
    extra = await empty.get("Organization/siret-99999901400015")
    await empty.put({**extra, "active": False})
    assert numbers(await empty.file("finess", register)) == (1, 2, 0, 0, 0)
    again = await empty.file("annuaire", directory)
    assert numbers(again)[:3] == (0, 2, 0)  # the role and the place name the one that is left
    assert (await empty.get("Organization/siret-99999901400015"))["active"] is False
    assert await empty.ids("PractitionerRole", "organization=Organization/siret-99999901400015") == []
