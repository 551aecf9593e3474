"""What a check found, as a table for a terminal and as JSON, in French and in English."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from fhir_server.france.sas.base import Version
from fhir_server.france.sas.checking.accounts import Made
from fhir_server.france.sas.checking.rules import Language, Level, Rule, rules
from fhir_server.france.sas.checking.verdict import Verdict

SHOWN: Final = 5
"""Places that the table shows of a rule that does not hold; JSON has up to ``KEPT``."""
KEPT: Final = 200


class State(StrEnum):
    """What became of a rule."""

    PASSED = "passed"
    FAILED = "failed"
    WARNED = "warned"
    UNSEEN = "not-seen"
    """Nothing that was answered could show it."""


class Finding(NamedTuple):
    """One place where a rule does not hold; ``played`` names the request."""

    played: str
    where: str
    received: str


class Result(NamedTuple):
    """A rule and what became of it."""

    rule: Rule
    state: State
    findings: list[Finding]
    times: int


@dataclass
class Report:
    """What was found at a base URL, and what was left there."""

    base: str
    at: datetime
    version: Version
    remaining: list[Made] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Flows that were not played, each with the reason: a key of ``_WORDS``."""
    _held: Counter[str] = field(default_factory=Counter)
    _broken: Counter[str] = field(default_factory=Counter)
    _findings: dict[str, list[Finding]] = field(default_factory=dict)

    def add(self, played: str, verdicts: Iterable[Verdict]) -> None:
        """Take what was found in the answer to one request."""
        for verdict in verdicts:
            if verdict.holds:
                self._held[verdict.rule] += 1
                continue
            self._broken[verdict.rule] += 1
            found = self._findings.setdefault(verdict.rule, [])
            if len(found) < KEPT:
                found.append(Finding(played, verdict.where, verdict.received))

    def leave_out(self, flow: str, reason: str) -> None:
        """Note that a flow was not played."""
        self.left_out.append((flow, reason))

    @property
    def results(self) -> list[Result]:
        """Each rule with its state, in the order of the rules."""
        return [
            Result(rule, self._state(rule), self._findings.get(rule.id, []), self._broken[rule.id])
            for rule in rules().values()
        ]

    @property
    def has_failed(self) -> bool:
        """The recette would fail; or nothing at all was played that could tell."""
        return self.is_blind or any(result.state is State.FAILED for result in self.results)

    @property
    def is_blind(self) -> bool:
        """No flow was played."""
        return not any(self._held[rule] + self._broken[rule] for rule in ("search-answered", "account-create"))

    def _state(self, rule: Rule) -> State:
        if self._broken[rule.id]:
            return State.FAILED if rule.level is Level.ERROR else State.WARNED
        return State.PASSED if self._held[rule.id] else State.UNSEEN


def told(report: Report, language: Language, width: int | None) -> str:
    """Return a report as a table of ``width`` columns, or without it as JSON."""
    if width is None:
        return json.dumps(as_json(report, language), ensure_ascii=False, indent=2)
    return "\n".join(as_lines(report, language, width))


def as_json(report: Report, language: Language) -> dict[str, Any]:
    """Return a report as JSON: keys and states are English, texts are in the language."""
    counts = Counter(result.state for result in report.results)
    return {
        "base": report.base,
        "at": report.at.isoformat(timespec="seconds"),
        "guide": str(report.version),
        "language": language,
        "passed": not report.has_failed,
        "counts": {state.value: counts[state] for state in State},
        "rules": [_result(result, language) for result in report.results],
        "notPlayed": [{"flow": flow, "reason": _WORDS[language][reason]} for flow, reason in report.left_out],
        "remaining": [{"reference": made.name, "active": made.is_active} for made in report.remaining],
    }


def _result(result: Result, language: Language) -> dict[str, Any]:
    words = result.rule.words(language)
    return {
        "id": result.rule.id,
        "level": result.rule.level.value,
        "state": result.state.value,
        "rule": words.rule,
        "source": result.rule.source,
        "remedy": words.remedy,
        "count": result.times,
        "findings": [finding._asdict() for finding in result.findings],
    }


def as_lines(report: Report, language: Language, width: int) -> Iterator[str]:
    """Yield the lines of a report for a terminal of ``width`` columns."""
    said = _WORDS[language]
    yield said["title"].format(base=report.base, guide=report.version)
    yield ""
    results = report.results
    seen = [result for result in results if result.state is not State.UNSEEN]
    across = max(len(said[result.state]) for result in seen)
    column = max(len(result.rule.id) for result in seen)
    for result in seen:
        head = f"{said[result.state]:<{across}}  {result.rule.id:<{column}}  "
        yield from _wrapped(head, result.rule.words(language).rule, width)
        if result.findings:
            yield from _findings(result, language, width, " " * (across + 2))
    yield ""
    for flow, reason in report.left_out:
        yield from _wrapped(f"{flow}{said['colon']} ", said[reason], width)
    if unseen := [result.rule.id for result in results if result.state is State.UNSEEN]:
        yield from _wrapped(f"{said['not-seen']}{said['colon']} ", ", ".join(unseen), width)
    yield from leftovers(report, language)
    counts = Counter(result.state for result in results)
    yield ", ".join(f"{said[state]}{said['colon']} {counts[state]}" for state in State) + "."
    yield said["blind" if report.is_blind else "bad" if report.has_failed else "good"]


def leftovers(report: Report, language: Language) -> Iterator[str]:
    """Yield a line for each account that the check has left on the server."""
    said = _WORDS[language]
    for made in report.remaining:
        yield f"{said['remains']} {printable(made.name) or '?'} ({said['active' if made.is_active else 'disabled']})"


def _findings(result: Result, language: Language, width: int, margin: str) -> Iterator[str]:
    said = _WORDS[language]
    for finding in result.findings[:SHOWN]:
        place = printable(" ".join(part for part in (finding.played, finding.where) if part))
        received = f": {printable(finding.received)}" if finding.received else ""
        yield from _wrapped(f"{margin}- ", place + received, width)
    if result.times > SHOWN:
        yield f"{margin}- " + said["more"].format(count=result.times - SHOWN)
    yield from _wrapped(f"{margin}{said['source']} ", result.rule.source, width)
    yield from _wrapped(f"{margin}{said['remedy']} ", result.rule.words(language).remedy, width)


def _wrapped(head: str, told: str, width: int) -> list[str]:
    room = max(width - len(head), 30)
    lines = textwrap.wrap(told, room, break_on_hyphens=False) or [""]
    return [(head if place == 0 else " " * len(head)) + line for place, line in enumerate(lines)]


def printable(received: str) -> str:
    """Return a text of others as a terminal may show it: no control characters, and not for ever."""
    shown = "".join(one if one.isprintable() else "?" for one in received)
    return shown if len(shown) <= 300 else shown[:299] + "…"


_WORDS: Final[dict[str, dict[str, str]]] = {
    "fr": {
        "colon": " :",
        "title": "Vérification SAS de {base}, guide {guide}",
        "passed": "conforme",
        "failed": "ÉCHEC",
        "warned": "à revoir",
        "not-seen": "non vu",
        "more": "et {count} autres",
        "source": "Source :",
        "remedy": "Remède :",
        "rpps": "non joué ; donnez de 1 à 25 numéros de professionnels qui ont des créneaux, avec --rpps.",
        "siret": "non joué ; donnez les SIRET des sites SOS Médecins, avec --siret.",
        "write": "non joué ; --write crée, modifie et désactive des comptes fictifs de régulateurs.",
        "slots": "pas de créneau libre dans la fenêtre : les règles des créneaux n'ont pas été vues.",
        "agendas": "pas d'agenda avec un créneau libre dans la fenêtre : les règles des créneaux n'ont pas été vues.",
        "blind": "Rien n'a pu être joué : le serveur n'est pas vérifié.",
        "numbers": "non joué ; les numéros fictifs essayés sont tous pris.",
        "remains": "Il reste sur le serveur :",
        "active": "ENCORE ACTIF : désactivez-le",
        "disabled": "désactivé",
        "good": "Rien de ce qui a été joué n'échouerait à la recette nationale.",
        "bad": "La recette nationale échouerait.",
    },
    "en": {
        "colon": ":",
        "title": "SAS check of {base}, guide {guide}",
        "passed": "ok",
        "failed": "FAILED",
        "warned": "warning",
        "not-seen": "not seen",
        "more": "and {count} more",
        "source": "Source:",
        "remedy": "Remedy:",
        "rpps": "not played; give 1 to 25 numbers of professionals with slots, with --rpps.",
        "siret": "not played; give the SIRETs of the sites of SOS Médecins, with --siret.",
        "write": "not played; --write creates, changes and disables fictitious accounts of regulators.",
        "slots": "no free slot in the window: the rules of slots were not seen.",
        "agendas": "no agenda with a free slot in the window: the rules of slots were not seen.",
        "blind": "Nothing could be played: the server is not checked.",
        "numbers": "not played; all fictitious numbers that were tried are taken.",
        "remains": "Left on the server:",
        "active": "STILL ACTIVE: disable it",
        "disabled": "disabled",
        "good": "Nothing that was played would fail at the national recette.",
        "bad": "The national recette would fail.",
    },
}
