"""A tree held against a JSON Schema: the same file completes what a person types in an editor, and is checked here.

Of JSON Schema: type, properties, required, additionalProperties, items, minItems, uniqueItems, enum, pattern, minimum,
maximum and ``$ref`` into ``$defs``. A schema that says more is refused when it is loaded.
Spec: https://json-schema.org/draft/2020-12/json-schema-validation
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fhir_server.france.importing.findings import Place, Refused
from fhir_server.france.importing.yaml_tree import Node
from fhir_server.model.formats import Json

_KNOWN: Final = frozenset(
    (
        *("$schema", "$id", "$defs", "$ref", "title", "description", "examples", "type", "properties", "required"),
        *("additionalProperties", "items", "minItems", "uniqueItems", "enum", "pattern", "minimum", "maximum"),
    )
)
_INTEGER: Final = re.compile(r"-?(?:0|[1-9]\d{0,8})")
_SCALARS: Final = frozenset(("string", "integer", "boolean"))
_CALLED: Final = {"object": "un groupe de clés", "array": "une liste", "string": "un texte", "integer": "un nombre"}


class Schema:
    """A JSON Schema, read once."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Raises ``ValueError`` naming a keyword that is not known here."""
        self._document = document
        _keywords(document, "#")

    @classmethod
    def load(cls, path: Path) -> Schema:
        """Return the schema of a file."""
        return cls(json.loads(path.read_text(encoding="utf-8")))

    def read(self, tree: Node) -> tuple[Json, list[Refused]]:
        """Return what a tree says, as JSON, and all that is wrong with it; the JSON is whole if nothing is."""
        faults: list[Refused] = []
        return self._value(tree, self._document, "", faults), faults

    def _value(self, node: Node, rule: Mapping[str, Any], path: str, faults: list[Refused]) -> Json:
        if "$ref" in rule:
            rule = self._document["$defs"][rule["$ref"].removeprefix("#/$defs/")]
        kind = rule["type"]
        value = node.value
        if kind == "object" and isinstance(value, dict):
            return self._object(node.place, value, rule, path, faults)
        if kind == "array" and isinstance(value, list):
            return self._array(node.place, value, rule, path, faults)
        if kind in _SCALARS and isinstance(value, str):
            return _scalar(node, value, rule, path, faults)
        expected = _expected(rule) if kind in _SCALARS else _CALLED[kind]
        _add(faults, node, path, "a une valeur d'une autre sorte", f"écrivez {expected}")
        return None

    def _object(
        self, place: Place, value: dict[str, Node], rule: Mapping[str, Any], path: str, faults: list[Refused]
    ) -> dict[str, Json]:
        rules = rule.get("properties", {})
        faults.extend(
            Refused(place, f"« {_joined(path, name)} » manque", f"ajoutez {_expected(rules[name])}")
            for name in rule.get("required", ())
            if name not in value
        )
        found = {}
        for name, node in value.items():
            if name not in rules:
                told = f"la clé « {_joined(path, name[:40])} » n'est pas connue"
                faults.append(Refused(node.key or node.place, told, f"les clés possibles ici sont {', '.join(rules)}"))
            else:
                found[name] = self._value(node, rules[name], _joined(path, name), faults)
        return found

    def _array(
        self, place: Place, value: list[Node], rule: Mapping[str, Any], path: str, faults: list[Refused]
    ) -> list[Json]:
        found = [self._value(node, rule["items"], f"{path}[{rank}]", faults) for rank, node in enumerate(value, 1)]
        if len(found) < rule.get("minItems", 0):
            faults.append(Refused(place, f"la liste « {path} » est vide", "ajoutez un élément ou supprimez la clé"))
        if rule.get("uniqueItems"):
            for rank, (item, node) in enumerate(zip(found, value, strict=True)):
                if item in found[:rank]:
                    _add(faults, node, path, "contient deux fois le même élément", "n'en gardez qu'un")
        return found


def _scalar(node: Node, text: str, rule: Mapping[str, Any], path: str, faults: list[Refused]) -> Json:
    found: Json = text
    if rule["type"] == "boolean":
        found = {"true": True, "false": False, "oui": True, "non": False}.get(text)
    elif rule["type"] == "integer":
        found = int(text) if node.plain and _INTEGER.fullmatch(text) else None
    wrong = found is None or ("enum" in rule and found not in rule["enum"])
    wrong = wrong or ("pattern" in rule and re.search(rule["pattern"], text) is None)
    if not wrong and rule["type"] == "integer":
        wrong = not rule.get("minimum", found) <= found <= rule.get("maximum", found)
    if wrong:
        received = f", « {text[:40]} »" if "enum" in rule else ""  # a word that is none; other texts may name a person
        _add(faults, node, path, f"a une valeur impossible{received}", f"écrivez {_expected(rule)}")
    return found


def _add(faults: list[Refused], node: Node, path: str, reason: str, remedy: str) -> None:
    faults.append(Refused(node.place, f"« {path or 'le fichier'} » {reason}", remedy))


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _expected(rule: Mapping[str, Any]) -> str:
    """Return what a person should write: the description, the codes, or the sort of value."""
    if "enum" in rule:
        return "l'une des valeurs " + ", ".join(map(str, rule["enum"]))
    if "description" in rule:
        return str(rule["description"]).rstrip(".")
    return _CALLED.get(rule.get("type", ""), "oui ou non" if rule.get("type") == "boolean" else "la valeur attendue")


def _keywords(rule: Mapping[str, Any], where: str) -> None:
    unknown = sorted(rule.keys() - _KNOWN)
    if unknown:
        raise ValueError(f"{where}: the keyword {unknown[0]} of JSON Schema is not known here")
    if "$ref" not in rule and "type" not in rule:
        raise ValueError(f"{where}: a type is missing")
    for group in ("properties", "$defs"):
        for name, inner in rule.get(group, {}).items():
            _keywords(inner, f"{where}/{group}/{name}")
    if "items" in rule:
        _keywords(rule["items"], f"{where}/items")
