"""What a person reads of an import, in French: what would change, what became of each line, the sum.

What it says goes to the terminal of whoever gave the file, and to no log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from fhir_server.france.importing.ledger import Action, Change, Ledger
from fhir_server.france.importing.source import Counts, Told

SIGNS: Final = {Action.CREATE: "+", Action.UPDATE: "~", Action.DEACTIVATE: "-"}
WORDS: Final = {
    Action.CREATE: "créé",
    Action.UPDATE: "modifié",
    Action.UNCHANGED: "inchangé",
    Action.LEFT: "géré par une autre source, laissé tel quel",
}
_ORDER: Final = tuple(WORDS)
_SHOWN: Final = 80


def diff(ledger: Ledger) -> Iterator[str]:
    """Yield a line for each change, and under it a line for each element that differs."""
    for chunk in ledger.changes(200):
        for change in chunk:
            place = f"  ({change.place})" if change.place else ""
            yield f"{SIGNS[change.action]} {change.key}{place}"
            if change.before is not None:
                yield from (f"    {text}" for text in _differences(change))


def lines(ledger: Ledger) -> Iterator[str]:
    """Yield what became of each line of the files that was not refused."""
    for file, number, actions in ledger.lines():
        if actions:
            yield f"{file}:{number} : {WORDS[min(actions, key=_ORDER.index)]}"


def summary(told: Told, *, dry_run: bool) -> Iterator[str]:
    """Yield the sentences of the end."""
    counts = told.counts
    if told.resumed and (counts.created or counts.updated or counts.deactivated):
        yield f"Reprise de l'import {told.run} : déjà écrit : {_number(told.resumed, 'ressource')}."
    done = (
        ("créer", "créée", counts.created),
        ("modifier", "modifiée", counts.updated),
        ("désactiver", "désactivée", counts.deactivated),
    )
    parts = [f"{_number(count)} à {to_do}" if dry_run else _number(count, word) for to_do, word, count in done]
    parts.append(_number(counts.unchanged, "inchangée"))
    if counts.left:
        parts.append(f"{_number(counts.left, 'laissée')} aux sources qui les gèrent")
    yield f"Import {told.run} : {', '.join(parts)} ; {_number(told.refused)} refus."
    if told.held_back:
        yield (
            f"{_number(told.held_back, 'ressource')} hors du fichier, mais rien n'est désactivé : "
            "une ligne refusée pourrait être l'une d'elles."
        )
    if not told.refused and counts == Counts():
        yield "Aucune ligne du fichier n'est à importer : vérifiez qu'il est complet, et du territoire demandé."
    if dry_run:
        yield "Essai : rien n'a été écrit."


def _differences(change: Change) -> Iterator[str]:
    before, after = _flat(change.before), _flat(change.after)
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old != new:
            yield f"{path} : {_shown(old)} → {_shown(new)}"


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of a resource by their path, without what says only who wrote it."""
    if isinstance(value, dict):
        pairs = [
            (f"{path}.{name}" if path else name, item) for name, item in value.items() if (path, name) != ("", "meta")
        ]
    elif isinstance(value, list):
        pairs = [(f"{path}[{rank}]", item) for rank, item in enumerate(value)]
    else:
        return {path: value}
    return {inner: leaf for name, item in pairs for inner, leaf in _flat(item, name).items()}


def _shown(value: Any) -> str:
    text = "rien" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _number(count: int, word: str = "") -> str:
    """Return a count as French writes it, and the word in the plural from two on."""
    text = f"{count:,}".replace(",", " ")
    return f"{text} {word}{'s' if count > 1 else ''}" if word else text
