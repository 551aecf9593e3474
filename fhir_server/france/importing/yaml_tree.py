"""YAML as a tree of texts that know their line: no anchors, no tags, no duplicate keys, bounded in every direction.

What a text means (a number, a code with its zeros) is decided by the schema it is held against, not by its looks.
Spec: https://yaml.org/spec/1.1/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

import yaml

from fhir_server.france.importing.findings import FileRefused, Place, unreadable

MAX_BYTES: Final = 300_000
MAX_NODES: Final = 30_000
MAX_DEPTH: Final = 20
"""A CPTS of a thousand members stays below; what is larger takes the parser minutes."""

_NO_TEXT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""What a quoted text can hold by an escape, and no text of FHIR has."""
_NOTHING: Final = frozenset(("", "~", "null", "Null", "NULL"))


@dataclass(frozen=True, slots=True)
class Node:
    """One value: a text (None: nothing stands there), a list, or a mapping.

    ``plain``: the text has no quotes. ``key``: where its key stands, of a member of a mapping.
    """

    value: Value
    place: Place
    plain: bool = False
    key: Place | None = None


Value: TypeAlias = "str | list[Node] | dict[str, Node] | None"


def read(path: Path) -> Node:
    """Return the one document of a file. Raises ``FileRefused`` with line and column."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error) from None
    return parse(data, path.name)


def parse(data: bytes, name: str) -> Node:
    """Return the one document of a text in UTF-8. Raises ``FileRefused``."""
    if len(data) > MAX_BYTES:
        told = f"dépasse {MAX_BYTES:,} octets".replace(",", " ")
        raise FileRefused(Place(name), told, "découpez la description")
    return _Reader(name).document(_text(data, name))


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise FileRefused(Place(name, line, column), "n'est pas de l'UTF-8", "enregistrez-le en UTF-8") from None


class _Reader:
    """Builds the tree from events, so that what is too deep or too large is refused before it is built."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes = 0

    def document(self, text: str) -> Node:
        """Return the tree of a text that holds one document."""
        try:
            events = iter(yaml.parse(text, Loader=yaml.SafeLoader))
            next(events)
            if not isinstance(start := next(events), yaml.DocumentStartEvent):
                raise self._refused(start, "est vide", "écrivez-y une description")
            tree = self._node(next(events), events, 0)
            next(events)
            if not isinstance(end := next(events), yaml.StreamEndEvent):
                raise self._refused(end, "contient un second document", "gardez un document par fichier")
        except yaml.MarkedYAMLError as error:
            raise self._not_yaml(error) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            told = f"contient le caractère interdit U+{error.character:04X}"
            raise FileRefused(Place(self._name, line), told, "supprimez ce caractère") from None
        return tree

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise self._refused(event, "est trop profond ou trop long", "simplifiez la description")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self._refused(event, "utilise une ancre ou un alias (& ou *)", "répétez le texte")
        if getattr(event, "tag", None) is not None:
            raise self._refused(event, "utilise une étiquette de type (!)", "supprimez-la")
        match event:
            case yaml.ScalarEvent():
                if found := _NO_TEXT.search(event.value):
                    told = f"contient le caractère interdit U+{ord(found[0]):04X}"
                    raise self._refused(event, told, "supprimez ce caractère")
                plain = event.style is None
                nothing = plain and event.value in _NOTHING
                return Node(None if nothing else event.value, self._place(event), plain)
            case yaml.SequenceStartEvent():
                return Node(list(self._items(events, depth)), self._place(event))
            case _:
                return Node(self._members(events, depth), self._place(event))

    def _items(self, events: Iterator[yaml.Event], depth: int) -> Iterator[Node]:
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            yield self._node(event, events, depth + 1)

    def _members(self, events: Iterator[yaml.Event], depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            named = self._node(event, events, depth + 1)
            if not isinstance(key := named.value, str):
                raise self._refused(event, "a une clé qui n'est pas un mot", "écrivez « clé: valeur »")
            if key in found:
                raise self._refused(event, f"contient deux fois la clé « {key[:40]} »", "n'en gardez qu'une")
            found[key] = replace(self._node(next(events), events, depth + 1), key=named.place)
        return found

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self._name, mark.line + 1, mark.column + 1) if mark else Place(self._name)

    def _refused(self, event: yaml.Event, reason: str, remedy: str) -> FileRefused:
        return FileRefused(self._place(event), reason, remedy)

    def _not_yaml(self, error: yaml.MarkedYAMLError) -> FileRefused:
        mark = error.problem_mark or error.context_mark
        place = Place(self._name, mark.line + 1, mark.column + 1) if mark else Place(self._name)
        return FileRefused(place, "n'est pas du YAML", "vérifiez retraits, guillemets et deux-points")
