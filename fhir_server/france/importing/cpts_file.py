"""The source of a CPTS description: one YAML file, held against its schema, then against itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from fhir_server.definitions.guide import MAPPINGS
from fhir_server.france.identifiers import check
from fhir_server.france.importing import description, yaml_tree
from fhir_server.france.importing.findings import FileRefused, Place, Refused, Remark
from fhir_server.france.importing.schema import Schema
from fhir_server.france.importing.source import Owner, Wanted
from fhir_server.france.importing.yaml_tree import Node
from fhir_server.france.vocabulary import Json

SCHEMA: Final = MAPPINGS / "cpts" / "cpts.schema.json"
NUMBERS: Final = {"rpps": "RPPS", "finess": "FINEG", "siret": "SIRET"}
"""Keys of national numbers and their kinds."""
_List: TypeAlias = tuple[Sequence[str | int], Sequence[Json], str]
"""A list of the description: where it is, its rows, the key that is unique in it."""
LISTS: Final = ("structures", "colleges", "equipes", "membres", "services")


class CptsFile:
    """One description. It is small, so it is read when it is opened."""

    each_line = False

    def __init__(self, path: Path) -> None:
        """Raises ``FileRefused`` for what is no YAML, or names no CPTS."""
        self._size = path.stat().st_size if path.exists() else 0
        self._tree = yaml_tree.read(path)
        self._data, self._faults = _schema().read(self._tree)
        if not self._data or not isinstance(key := self._data.get("cle"), str):
            fault = self._faults[0]
            raise FileRefused(fault.place, fault.reason, fault.remedy)
        self.owner = Owner("cpts", key)

    @property
    def position(self) -> tuple[int, int]:
        """All of it is read."""
        return self._size, self._size

    def __iter__(self) -> Iterator[Wanted | Refused | Remark]:
        if self._faults:
            yield from self._faults
            return
        faults = list(_contradictions(self._tree, self._data))
        yield from faults
        if not any(isinstance(fault, Refused) for fault in faults):
            place = Place(self._tree.place.file)
            for resource in description.resources(self._data):
                yield Wanted(resource, place)
            for resource in description.others(self._data):
                yield Wanted(resource, place, weak=True)


@cache
def _schema() -> Schema:
    return Schema.load(SCHEMA)


# --- what a schema cannot say ----------------------------------------------------------------------------------------


def _contradictions(tree: Node, data: Json) -> Iterator[Refused | Remark]:
    yield from _twice(tree, data)
    yield from _unknown_people(tree, data)
    yield from _scalars(tree, data)
    yield from _counts(tree, data)


def _twice(tree: Node, data: Json) -> Iterator[Refused]:
    """Ids that stand twice in their list; missions and pathways go by their code; a commune by its INSEE code."""
    lists: list[_List] = [((name,), data.get(name, ()), "id") for name in LISTS]
    lists += [((name,), data.get(name, ()), "code") for name in ("missions", "parcours")]
    lists.append((("territoire", "communes"), data.get("territoire", {}).get("communes", ()), "insee"))
    actions = [
        (("missions", rank, "actions"), mission.get("actions", ()), "id")
        for rank, mission in enumerate(data.get("missions", ()))
    ]
    for group in ([one] for one in lists):
        yield from _same(tree, group)
    yield from _same(tree, actions)
    yield from _same(tree, [((name,), data.get(name, ()), "id") for name in ("colleges", "equipes")])


def _same(tree: Node, lists: Sequence[_List]) -> Iterator[Refused]:
    seen: set[str] = set()
    for path, rows, key in lists:
        for rank, row in enumerate(rows):
            if row[key] in seen:
                told = f"« {row[key]} » est décrit deux fois"
                yield Refused(_place(tree, (*path, rank, key)), told, "gardez une seule description")
            seen.add(row[key])


def _unknown_people(tree: Node, data: Json) -> Iterator[Refused]:
    """Members of teams that are not described, or are neither or both a person and a structure."""
    known = {
        "personne": {row["id"] for row in data.get("membres", ())},
        "structure": {row["id"] for row in data.get("structures", ())},
    }
    for name in ("parcours", "colleges", "equipes"):
        for rank, team in enumerate(data.get(name, ())):
            for number, row in enumerate(team.get("membres", ())):
                path = (name, rank, "membres", number)
                given = [key for key in known if key in row]
                if len(given) != 1:
                    yield Refused(_place(tree, path), "désigne une personne ou une structure", "donnez l'une des deux")
                elif row[given[0]] not in known[given[0]]:
                    told = f"« {row[given[0]]} » n'est pas décrit"
                    yield Refused(_place(tree, (*path, given[0])), told, f"ajoutez cette {given[0]} à sa liste")


def _scalars(node: Node, data: Json) -> Iterator[Refused | Remark]:
    """Dates that do not exist, periods and openings that end before they begin, numbers with a wrong check digit."""
    if isinstance(data, list) and isinstance(node.value, list):
        for inner, item in zip(node.value, data, strict=True):
            yield from _scalars(inner, item)
    if not isinstance(data, dict) or not isinstance(node.value, dict):
        return
    for name, item in data.items():
        inner = node.value[name]
        if name in {"depuis", "jusqu-a", "signature"} and not _is_date(item):
            yield Refused(inner.place, f"« {item} » n'est pas une date qui existe", "écrivez AAAA-MM-JJ")
        elif name in NUMBERS and check(NUMBERS[name], item) is False:
            yield Remark(inner.place, f"la clé de contrôle du numéro {NUMBERS[name]} {item} n'est pas celle attendue")
        yield from _scalars(inner, item)
    for start, end in (("depuis", "jusqu-a"), ("de", "a")):
        if start in data and end in data and data[end] < data[start]:
            yield Refused(node.value[end].place, f"« {end} » précède « {start} »", "inversez-les")


def _counts(tree: Node, data: Json) -> Iterator[Refused]:
    territory = data.get("territoire", {})
    named = len(territory.get("communes", ()))
    if named > territory.get("nombre-communes", named):
        place = _place(tree, ("territoire", "nombre-communes"))
        yield Refused(place, f"{named} communes sont nommées", "corrigez le nombre de communes")


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat((text + "-01-01")[:10])
    except ValueError:
        return False
    return True


def _place(tree: Node, path: Sequence[str | int]) -> Place:
    """Return where a value stands in the file."""
    node = tree
    for step in path:
        inside: Any = node.value
        if isinstance(inside, Mapping | list):
            node = inside[step]  # type: ignore[index]
    return node.place
