"""A CPTS description goes in and comes out the same; the two press releases are there, every fact of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.definitions.guide import MAPPINGS
from fhir_server.definitions.structures import Structures
from fhir_server.france.importing import describe, description, yaml_tree
from fhir_server.france.importing.cpts_file import SCHEMA
from fhir_server.france.importing.described import Described
from fhir_server.france.importing.describing import described
from fhir_server.france.importing.schema import Schema
from fhir_server.france.importing.vocabulary import words
from fhir_server.france.importing.yaml_text import written
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.validation.validator import Validator
from tests.docs.reading import BASE, DOCS, examples
from tests.docs.running import Got, compared, filled
from tests.france.importing.importing_world import World, numbers, world, write

FILES = sorted((MAPPINGS / "cpts").glob("*.yaml"))
FULL = Path(__file__).parent / "essais.yaml"


async def test_each_description_comes_back_to_the_letter_and_a_second_import_changes_nothing(store: str) -> None:
    async with world(store, integrity="enforce") as there:
        for path in (*FILES, FULL):
            told = await there.file("cpts", path)
            assert told.counts.created > 5
            assert await describe(there.service, path.stem) == path.read_text(encoding="utf-8")
        for path in (*FILES, FULL):
            assert numbers(await there.file("cpts", path))[:3] == (0, 0, 0)
            assert await describe(there.service, f"cpts-{path.stem}") == path.read_text(encoding="utf-8")


SLOT = {
    "resourceType": "Slot",
    "id": "s",
    "schedule": {"reference": "Schedule/essais-service-sport-sante"},
    "status": "free",
    "start": "2026-01-07T14:00:00.000+01:00",
    "end": "2026-01-07T15:00:00.000+01:00",
}


async def test_opening_hours_are_an_agenda_that_a_request_finds_and_slots_are_published_into(empty: World) -> None:
    await empty.file("cpts", FULL)
    [example] = examples(DOCS / "imports.md")
    assert example.answer
    path, _, query = filled(example.request, {}).url.removeprefix(f"{BASE}/").partition("?")
    got = Got(200, httpx.Headers(), json.dumps(await empty.get(path, query)))
    assert list(compared(example.answer, got)) == []
    await empty.put(SLOT)
    prevention = "schedule.actor:HealthcareService.service-category=prevention"
    assert await empty.ids("Slot", f"status=free&{prevention}") == ["s"]
    head = await empty.head()
    await empty.file("cpts", FULL)
    assert await empty.head() == head
    assert await describe(empty.service, "essais") == FULL.read_text(encoding="utf-8")


FACTS = {
    "avenir-sante": """2024-05-28|58 communes de Pays de Montbéliard Agglomération|nombre-communes: 58|habitants: 58000
        |ars-bfc|direction territoriale|cpam-doubs|msa-franche-comte|les professionnels de santé|nombre: 30|medecin
        |pharmacien|infirmier|sage-femme|masseur-kinesitherapeute|chirurgien-dentiste|pedicure-podologue
        |Plus de 9 % des patients|ald|age|precarite|interdépartemental|diabete|Sport-santé après une chirurgie du sein
        |situations sanitaires exceptionnelles|statuts|Accompagnement des professionnels|pole-nord-franche-comte
        |CPTS du Grand Montbéliard|CPTS Pourtour Belfortain|CPTS Belfortaine|CPTS du Pays d'Héricourt|L'une des 5 CPTS
        |tous couverts""",
    "capacites-besancon": """2023-03-09|décembre 2019|ars-bfc|cpam-doubs|les professionnels de santé|Grand Besançon
        |habitants: 200000|Près de 200 000|17 CPTS|13 en création|Plus de 200|orthophoniste|pediatre|psychologue
        |chru-besancon|ch-novillars|Cliniques|dac|Ville de Besançon|Représentants des usagers|16 ans et plus
        |les plus fragiles d'abord|sans urgence vitale|48 heures|insuffisance cardiaque à 65 ans et plus
        |sortie d'hospitalisation|perte d'autonomie|Dépistage des cancers|colorectal d'abord|contrat local de santé
        |équipes de proximité|Attractivité|Quartiers prioritaires|Collèges décisionnels|usagers compris
        |Quatrième CPTS du Doubs|premier semestre 2023|médico-sociales et sociales""",
}


@pytest.mark.parametrize("name", FACTS)
def test_every_fact_of_the_press_release_is_in_its_file(name: str) -> None:
    text = (MAPPINGS / "cpts" / f"{name}.yaml").read_text(encoding="utf-8")
    missing = [fact.strip() for fact in FACTS[name].split("|") if fact.strip() not in text]
    assert not missing


@pytest.mark.parametrize("path", [*FILES, FULL], ids=lambda path: path.stem)
def test_what_a_description_becomes_is_valid(path: Path) -> None:
    data, faults = Schema.load(SCHEMA).read(yaml_tree.read(path))
    assert not faults
    validator = Validator(Structures.load(), second_opinion=False)
    resources = [*description.resources(data), *description.others(data)]
    assert [issue for resource in resources for issue in validator.validate(resource)] == []
    keys = [f"{one['resourceType']}/{one['id']}" for one in resources]
    assert len(keys) == len(set(keys))


async def test_a_cpts_that_was_not_described_is_said_so(empty: World) -> None:
    await empty.put({"resourceType": "Organization", "id": "cpts-client", "name": "CPTS"})
    with pytest.raises(CommandFailed, match="Aucune description de la CPTS « client »"):
        await describe(empty.service, "client")


async def test_another_cpts_of_a_network_keeps_the_description_it_has(empty: World, tmp_path: Path) -> None:
    full = "cle: belfortaine\nnom: CPTS Belfortaine au complet\nmissions:\n  - {code: snp, nom: SNP}\n"
    await empty.file("cpts", MAPPINGS / "cpts" / "avenir-sante.yaml")
    path = tmp_path / "belfortaine.yaml"
    write(path, full)
    await empty.file("cpts", path)
    told = await empty.file("cpts", MAPPINGS / "cpts" / "avenir-sante.yaml")
    assert numbers(told) == (0, 0, 0, told.counts.unchanged, 1)
    assert (await empty.get("Organization/cpts-belfortaine"))["name"] == "CPTS Belfortaine au complet"


# --- any description -------------------------------------------------------------------------------------------------

TEXT = st.text("abcé 'çÉ:#-\"&", min_size=1, max_size=20).map(str.strip).filter(bool)
IDS = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
DATES = st.dates().filter(lambda day: day.year > 1900).map(str)


def some(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from(sorted(words(name).all))


def rows(required: dict[str, Any], optional: dict[str, Any], key: str = "id") -> st.SearchStrategy[list[Any]]:
    row = st.fixed_dictionaries(required, optional=optional)
    return st.lists(row, min_size=1, max_size=3, unique_by=lambda one: one[key])


def in_order(found: list[Any], key: str, order: Iterable[str] | None = None) -> list[Any]:
    ranks = {name: rank for rank, name in enumerate(order or ())}
    return sorted(found, key=lambda one: ranks.get(one[key], 0) if ranks else one[key])


PUBLICS = st.lists(some("publics"), min_size=1, unique=True)
SAID = {"precision": TEXT, "publics": PUBLICS}
DESCRIPTIONS = st.fixed_dictionaries(
    {"cle": IDS, "nom": TEXT},
    optional={
        "autres-noms": st.lists(TEXT, min_size=1, unique=True),
        "finess": st.just("259999068"),
        "telephone": st.just("+33199000001"),
        "messagerie-securisee": st.just("cpts@essais.mssante.fr"),
        "signature": DATES,
        "contexte": st.lists(TEXT, min_size=1),
        "population": st.fixed_dictionaries({"habitants": st.integers(1, 9999)}, optional={"libelle": TEXT}),
        "adherents": st.fixed_dictionaries(
            {"nombre": st.integers(0, 99)},
            optional={"professions": st.lists(some("professions"), min_size=1, unique=True)},
        ),
        "structures": rows(
            {
                "id": IDS.map("s-{}".format),
                "nom": TEXT,
                "liens": st.lists(some("liens").filter(lambda link: link != "territoire"), min_size=1, unique=True),
            },
            {"autres-noms": st.lists(TEXT, min_size=1, unique=True), "secteur": st.just("SA28"), "depuis": DATES},
        ).map(lambda found: in_order(found, "id")),
        "missions": rows(
            {"code": some("missions"), "nom": TEXT},
            {**SAID, "constat": TEXT},
            "code",
        ).map(lambda found: in_order(found, "code", words("missions").all)),
        "parcours": rows({"code": some("parcours"), "nom": TEXT}, SAID, "code").map(
            lambda found: in_order(found, "code", words("parcours").all)
        ),
        "colleges": rows({"id": IDS.map("college-{}".format), "nom": TEXT}, {"precision": TEXT}).map(
            lambda found: in_order(found, "id")
        ),
        "membres": rows(
            {"id": IDS.map("m-{}".format), "nom": TEXT, "prenom": TEXT},
            {
                "profession": some("professions"),
                "fonction": some("fonctions"),
                "depuis": DATES,
                "courriel": st.just("a@example.org"),
            },
        ).map(lambda found: in_order(found, "id")),
    },
)


@settings(max_examples=25, deadline=None)
@given(DESCRIPTIONS)
def test_any_description_is_read_back_from_its_resources(data: dict[str, Any]) -> None:
    found: dict[str, dict[str, Any]] = {}
    for resource in (*description.resources(data), *description.others(data)):
        found.setdefault(resource["resourceType"], {})[resource["id"]] = resource
    back = described(Described(data["cle"], found))
    assert back == data
    again, faults = Schema.load(SCHEMA).read(yaml_tree.parse(written(back).encode(), "f"))
    assert not faults
    assert again == data
