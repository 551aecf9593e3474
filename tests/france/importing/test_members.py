"""A list of members: a line for each professional, each reported; bad files are refused before anything is written."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.france.importing.findings import FileRefused, Refused, Remark
from fhir_server.france.importing.lines import MAX_LINE
from fhir_server.france.importing.members_file import Cpts, MembersFile
from fhir_server.france.importing.run import Abnormal, LinesRefused
from fhir_server.france.importing.source import Wanted
from fhir_server.maintenance.progress import CommandFailed
from tests.france.importing.importing_world import World, numbers, write

HEADER = "RPPS;Nom;Prénom;Profession;Entrée;Sortie;Collèges\n"
ALICE = "99700990015;FICTIF;Alice;Médecin;28/05/2024;;Bureau\n"
BRUNO = "99700990023;D'EXEMPLE;Bruno-Élie;Pharmacien;2024-06-01;31/12/2025;\n"
KNOWN = Cpts("essais", {"college-usagers": "Collège des usagers"})


def source(path: Path, text: str | bytes, cpts: Cpts | None = None) -> MembersFile:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return MembersFile(path, cpts or Cpts("essais"), date(2026, 1, 5))


def findings(path: Path, text: str | bytes, cpts: Cpts | None = None) -> list[str]:
    return [str(found) for found in source(path, text, cpts) if isinstance(found, Refused | Remark)]


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return tmp_path / "membres.csv"


ENCODINGS = ["utf-8", "utf-8-sig", "cp1252"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_each_line_is_a_person_and_a_role_whatever_the_encoding(encoding: str, csv: Path) -> None:
    found = list(source(csv, (HEADER + ALICE + BRUNO).replace("\n", "\r\n").encode(encoding)))
    wanted = [one for one in found if isinstance(one, Wanted)]
    assert [str(one.key) for one in wanted] == [
        "Practitioner/ps-899700990015-10",
        "PractitionerRole/essais-ps-899700990015-10",
        "Practitioner/ps-899700990023-21",
        "PractitionerRole/essais-ps-899700990023-21",
        "CareTeam/essais-membres-bureau",
    ]
    person, role = wanted[2].resource, wanted[3].resource
    assert person["name"] == [{"family": "D'EXEMPLE", "given": ["Bruno-Élie"]}]
    assert (role["active"], role["period"]) == (False, {"start": "2024-06-01", "end": "2025-12-31"})
    assert role["code"][0]["coding"][0]["code"] == "adherent"
    [member] = wanted[4].resource["participant"]
    assert member["member"] == {"reference": "PractitionerRole/essais-ps-899700990015-10"}
    assert wanted[2].place.line == 3


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (";FICTIF;Alice;Médecin;28/05/2024;;", "n'a rien dans la colonne « RPPS ». Remède : complétez la cellule"),
        (
            "9970099001;FICTIF;Alice;Médecin;28/05/2024;;",
            "a un numéro RPPS impossible, « 9970099001 ». Remède : écrivez",
        ),
        ("899700990015;FICTIF;Alice;Médecin;28/05/2024;;", "sans le 8 qui les précède"),
        ("9,97E+10;FICTIF;Alice;Médecin;28/05/2024;;", "mettez la colonne au format texte"),
        ("99700990016;FICTIF;Alice;Médecin;28/05/2024;;", "remarque : la clé de contrôle du numéro RPPS 99700990016"),
        (
            "99700990015;FICTIF;Alice;Boulanger;28/05/2024;;",
            "profession inconnue, « Boulanger ». Remède : écrivez l'une de",
        ),
        (
            "99700990015;FICTIF;Alice;Médecin;31/02/2024;;",
            "date impossible dans la colonne « Entrée », « 31/02/2024 ». Remède : écrivez JJ",
        ),
        ("99700990015;FICTIF;Alice;Médecin;05/24/2024;;", "date impossible"),
        ("99700990015;FICTIF;Alice;Médecin;28/05/2024;01/01/2024;", "une date de sortie avant la date d'entrée"),
        (
            "99700990015;FICTIF;Alice;Médecin;28/05/2024;;Bureau",
            "a un collège inconnu, « Bureau ». Remède : écrivez l'un de",
        ),
    ],
)
def test_a_line_that_is_wrong_is_told_with_its_number_and_remedy(line: str, told: str, csv: Path) -> None:
    [found] = findings(csv, HEADER + line + "\n", KNOWN)
    assert found.startswith("membres.csv:2 : ")
    assert told in found


def test_all_that_is_wrong_with_a_line_is_told_at_once(csv: Path) -> None:
    [found] = findings(csv, HEADER + "9,97E+10;FICTIF;Alice;Boulanger;1/6/24;;Bureau\n", KNOWN)
    reasons, remedies = found.split(". Remède : ")
    assert [told.split(",")[0] for told in reasons.removeprefix("membres.csv:2 : ").split(" ; ")] == [
        "a un numéro RPPS impossible",
        "a une profession inconnue",
        "a une date impossible dans la colonne « Entrée »",
        "a un collège inconnu",
    ]
    assert len(remedies.split(" ; ")) == 4


def test_a_college_is_known_by_name_or_id_and_joins_the_described_one(csv: Path) -> None:
    line = "99700990015;FICTIF;Alice;Médecin;28/05/2024;;college des Usagers\n"
    wanted = [one.resource for one in source(csv, HEADER + line, KNOWN) if isinstance(one, Wanted)]
    assert wanted[-1]["name"] == "Collège des usagers"
    assert wanted[-1]["identifier"][0]["value"] == "essais/college-usagers"


def test_a_line_that_repeats_another_is_refused(csv: Path) -> None:
    assert findings(csv, HEADER + ALICE + BRUNO + ALICE) == [
        "membres.csv:4 : répète la ligne 2. Remède : gardez une seule ligne par personne et profession.",
        "membres.csv : remarque : les collèges restent tels quels, car les lignes refusées pourraient en faire partie.",
    ]


def test_columns_that_are_not_read_are_told(csv: Path) -> None:
    header = "RPPS;Nom;Prénom;Profession;Entrée;Collège(s);Téléphone;;\n"
    assert findings(csv, header + "99700990015;FICTIF;Alice;IDE libérale;28/05/2024;;x;;\n") == [
        "membres.csv:1 : remarque : colonnes ignorées : Téléphone."
    ]


def test_a_team_of_which_a_member_was_refused_is_not_written(csv: Path) -> None:
    found = list(source(csv, HEADER + ALICE + "x;x;x;x;x;x;Bureau\n"))
    assert not any(isinstance(one, Wanted) and one.key.type == "CareTeam" for one in found)
    assert str(found[-1]).startswith("membres.csv : remarque : les collèges restent tels quels")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "membres.csv : est vide"),
        ("RPPS;Nom;Prénom;Métier\n", "membres.csv:1 : n'a pas la colonne « Entrée »"),
        ("RPPS;Nom;Prénom;Profession;Arrivée\n", "colonnes inconnues : Arrivée"),
        ("RPPS;Nom;nom;Prénom;Profession;Entrée\n", "membres.csv:1:3 : a deux fois la colonne « nom »"),
        ("RPPS,Nom,Prénom,Profession,Entrée\n", "membres.csv:1 : n'est pas séparé par des points-virgules"),
        (HEADER + ALICE + "99700990023;EXEM", "membres.csv:3 : a 2 champs au lieu de 7, et le fichier s'arrête là"),
        (HEADER + "99700990015;FICTIF;Alice\n" + ALICE, "membres.csv:2 : a 3 champs au lieu de 7. Remède"),
        (HEADER + '99700990015;"FICTIF;Alice;Médecin;28/05/2024;;\n', "membres.csv:2 : n'est pas un CSV lisible. R"),
        ((HEADER + ALICE).encode("utf-16"), "membres.csv:1:"),
        (b"PK\x03\x04\x14\x00\x08", "membres.csv:1:3 : contient le caractère U+0003, qui n'est pas du texte"),
        (
            HEADER.encode() + b"99700990015;\xc9;Alice;M;28/05/2024;;\n",
            "membres.csv:1 : mélange l'UTF-8 et le Windows-1252",
        ),
        (
            HEADER.encode("cp1252") + b"99700990015;\x81;Alice;M;28/05/2024;;\n",
            "membres.csv:2:13 : n'est ni de l'UTF-8 ni du Windows-1252",
        ),
        (HEADER + "9" * (MAX_LINE + 10), f"membres.csv:2 : a une ligne de plus de {MAX_LINE} octets"),
    ],
)
def test_a_file_that_is_wrong_is_refused_whole_and_where(text: str | bytes, told: str, csv: Path) -> None:
    with pytest.raises(FileRefused) as refused:
        findings(csv, text)
    assert told in str(refused.value)
    assert str(refused.value).endswith("Rien n'a été écrit.")


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: (HEADER + text).encode()))
def test_any_bytes_are_lines_or_refused(data: bytes) -> None:
    path = Path(__file__).with_name("none")
    assert not path.exists()
    with pytest.MonkeyPatch.context() as patch:
        _serve(patch, data)
        try:
            list(MembersFile(path, Cpts("essais"), date(2026, 1, 5)))
        except FileRefused as refused:
            assert refused.place.file == "none"


def _serve(patch: pytest.MonkeyPatch, data: bytes) -> None:
    """Let every file hold some bytes."""
    import io  # noqa: PLC0415
    from types import SimpleNamespace  # noqa: PLC0415

    patch.setattr(Path, "open", lambda *_: io.BytesIO(data))
    patch.setattr(Path, "stat", lambda *_: SimpleNamespace(st_size=len(data)))


# --- into a store ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def cpts(empty: World, tmp_path: Path) -> World:
    """A store that knows the CPTS."""
    path = tmp_path / "essais.yaml"
    write(path, "cle: essais\nnom: CPTS des Essais\nmissions: [{code: snp, nom: SNP}]\n")
    await empty.file("cpts", path)
    return empty


async def test_a_list_is_imported_once_and_reported_line_by_line(cpts: World, csv: Path) -> None:
    write(csv, (HEADER + ALICE + BRUNO).encode("cp1252"))
    assert numbers(await cpts.file("membres", csv, cpts="cpts-essais")) == (5, 0, 0, 0, 0)
    assert cpts.said[:2] == ["membres.csv:2 : créé", "membres.csv:3 : créé"]
    head = await cpts.head()
    assert numbers(await cpts.file("membres", csv, cpts="essais")) == (0, 0, 0, 5, 0)
    assert cpts.said[:2] == ["membres.csv:2 : inchangé", "membres.csv:3 : inchangé"]
    assert await cpts.head() == head
    roles = await cpts.ids("PractitionerRole", "organization=Organization/cpts-essais&active=true")
    assert roles == ["essais-ps-899700990015-10"]


async def test_a_dry_run_shows_what_would_change_and_writes_nothing(cpts: World, csv: Path) -> None:
    write(csv, HEADER + ALICE)
    await cpts.file("membres", csv, cpts="essais")
    head = await cpts.head()
    write(csv, HEADER + ALICE.replace("28/05", "29/05").replace("Alice", "Alix"))
    assert numbers(await cpts.file("membres", csv, cpts="essais", dry_run=True)) == (0, 2, 0, 1, 0)
    assert cpts.said == [
        "~ Practitioner/ps-899700990015-10  (membres.csv:2)",
        "    name[0].given[0] : Alice → Alix",
        "~ PractitionerRole/essais-ps-899700990015-10  (membres.csv:2)",
        "    period.start : 2024-05-28 → 2024-05-29",
        "membres.csv:2 : modifié",
        f"Import {cpts.said[5][7:23]} : 0 à créer, 2 à modifier, 0 à désactiver, 1 inchangée ; 0 refus.",
        "Essai : rien n'a été écrit.",
    ]
    assert await cpts.head() == head


async def test_a_dry_run_shows_what_a_mass_change_would_deactivate(cpts: World, csv: Path) -> None:
    write(csv, HEADER + ALICE)
    await cpts.file("membres", csv, cpts="essais")
    write(csv, HEADER + BRUNO)
    with pytest.raises(Abnormal):
        await cpts.file("membres", csv, cpts="essais", dry_run=True)
    gone = cpts.said.index("- Practitioner/ps-899700990015-10")
    assert cpts.said[gone + 1] == "    active : true → false"
    with pytest.raises(Abnormal):
        await cpts.file("membres", csv, cpts="essais")
    assert cpts.said == []


async def test_a_list_with_a_wrong_line_writes_nothing_unless_told(cpts: World, csv: Path) -> None:
    write(csv, HEADER + ALICE + "x;x;x;x;x;x;\n")
    head = await cpts.head()
    with pytest.raises(LinesRefused):
        await cpts.file("membres", csv, cpts="essais")
    assert await cpts.head() == head
    told = await cpts.file("membres", csv, cpts="essais", partial=True)
    assert (told.refused, told.counts.created) == (1, 2)


@pytest.mark.parametrize(
    ("cpts_id", "communes", "told"),
    [
        (None, [], "De quelle CPTS"),
        ("inconnue", [], "n'est pas dans ce serveur ; importez d'abord sa description"),
        ("essais", ["25056"], "ne se limite pas à un territoire"),
    ],
)
async def test_a_list_needs_its_cpts(
    cpts_id: str | None, communes: list[str], told: str, cpts: World, csv: Path
) -> None:
    write(csv, HEADER + ALICE)
    with pytest.raises(CommandFailed, match=told):
        await cpts.file("membres", csv, cpts=cpts_id, communes=communes)
