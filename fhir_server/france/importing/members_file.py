"""The source of a list of members, as a coordinator keeps it: CSV with ``;``, a line for each professional.

Columns: ``mappings/imports/membres.yaml``. A list made by hand is corrected by hand, so every line is reported.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Final

from fhir_server.france.identifiers import add_prefix, check, parse
from fhir_server.france.importing import elements
from fhir_server.france.importing.columns import Column, Header, columns, header
from fhir_server.france.importing.findings import Fault, FileRefused, Place, Refused, Remark
from fhir_server.france.importing.lines import Lines
from fhir_server.france.importing.source import Owner, Wanted
from fhir_server.france.importing.vocabulary import Word, folded, load, words
from fhir_server.france.vocabulary import Json, reference

MAX_LINES: Final = 20_000
"""Lines of a list; a register has its own format."""

_DATE: Final = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})|(\d{4})-(\d\d)-(\d\d)")


@dataclass(frozen=True, slots=True)
class Cpts:
    """The CPTS that the members join: the word in its ids, and its colleges, by id, as they were described."""

    key: str
    colleges: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The id of its Organization."""
        return f"cpts-{self.key}"


@dataclass(frozen=True, slots=True)
class _Member:
    rpps: str
    name: tuple[str, str]
    word: Word
    joined: str
    left: str | None
    colleges: tuple[str, ...]


class MembersFile:
    """One list of members of one CPTS."""

    each_line = True

    def __init__(self, path: Path, cpts: Cpts, today: date) -> None:
        """``today``: who left before it is no member any more. Raises ``FileRefused``."""
        self.owner = Owner("membres", cpts.key)
        self._lines = Lines(path, "Windows-1252")
        self._cpts, self._today = cpts, today
        self._teams: dict[str, tuple[str, list[Json]]] = {}
        self._seen: dict[str, int] = {}
        self._ignored: Remark | None = None

    @property
    def position(self) -> tuple[int, int]:
        """Bytes read, and bytes there are."""
        return self._lines.read, self._lines.size

    def __iter__(self) -> Iterator[Wanted | Refused | Remark]:
        refused = False
        for number, row in self._rows():
            place = Place(self._lines.name, number)
            try:
                member = _member(row, self._cpts)
                before = self._seen.setdefault(f"{member.rpps} {member.word.code}", number)
                if before != number:
                    raise Fault(f"répète la ligne {before}", "gardez une seule ligne par personne et profession")
            except Fault as fault:
                refused = True
                yield Refused(place, fault.reason, fault.remedy)
                continue
            if check("RPPS", member.rpps) is False:
                yield Remark(place, f"la clé de contrôle du numéro RPPS {member.rpps} n'est pas celle attendue")
            for resource in self._resources(member):
                yield Wanted(resource, place)
        if self._ignored:
            yield self._ignored
        if not refused:
            yield from self._colleges()
        elif self._teams:  # a team without those refused would lose them
            told = "les collèges restent tels quels, car les lignes refusées pourraient en faire partie"
            yield Remark(Place(self._lines.name), told)

    # --- lines -------------------------------------------------------------------------------------------------------

    def _rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield the number of the first line of each row, and its fields. Raises ``FileRefused``."""
        reader = csv.reader((text + "\n" for _, text in self._lines), delimiter=";", strict=True)
        found: Header | None = None
        number = 1
        try:
            for fields in reader:
                if found is None:
                    found = self._header(fields, number)
                elif any(text.strip() for text in fields):
                    self._measure(fields, found, number)
                    yield number, found.row(fields)
                number = reader.line_num + 1
        except csv.Error:
            told, remedy = "n'est pas un CSV lisible", "vérifiez les guillemets de cette ligne"
            raise FileRefused(Place(self._lines.name, number), told, remedy) from None
        if found is None:
            raise FileRefused(Place(self._lines.name), "est vide", "donnez une liste avec ses en-têtes")

    def _header(self, fields: list[str], number: int) -> Header:
        if len(fields) == 1 and any(mark in fields[0] for mark in (",", "\t", "|")):
            told = "n'est pas séparé par des points-virgules"
            raise FileRefused(Place(self._lines.name, number), told, "enregistrez-le en CSV avec « ; »")
        found = header(fields, _columns(), self._lines.name, number)
        if found.ignored:
            told = f"colonnes ignorées : {', '.join(found.ignored)}"
            self._ignored = Remark(Place(self._lines.name, number), told)
        return found

    def _measure(self, fields: list[str], found: Header, number: int) -> None:
        if len(fields) != found.width:
            told = f"a {len(fields)} champs au lieu de {found.width}"
            if self._lines.is_cut:
                told += ", et le fichier s'arrête là"
            raise FileRefused(Place(self._lines.name, number), told, "vérifiez que le fichier est complet")
        if number > MAX_LINES:
            told = f"a plus de {MAX_LINES} lignes"
            raise FileRefused(Place(self._lines.name, number), told, "importez un annuaire par « import annuaire »")

    # --- resources ---------------------------------------------------------------------------------------------------

    def _resources(self, member: _Member) -> Iterator[Json]:
        national = add_prefix("RPPS", member.rpps)
        person = elements.practitioner_id(national, member.word.code)
        yield elements.member_practitioner(person, national, member.rpps, member.name, member.word)
        role = f"{self._cpts.key}-{person}"
        when = elements.period(member.joined, member.left)
        gone = member.left is not None and member.left <= self._today.isoformat()
        found = elements.membership(role, person, self._cpts.id, ["adherent"], member.word, {"period": when})
        found["active"] = not gone
        yield found
        for name in member.colleges:
            short = _college(name, self._cpts) or folded(name).replace(" ", "-")
            _, participants = self._teams.setdefault(short, (self._cpts.colleges.get(short, name), []))
            seat = {"role": [words("roles")["membre"].concept], "member": reference("PractitionerRole", role)}
            participants.append({**seat, **({"period": {"end": member.left}} if member.left else {})})

    def _colleges(self) -> Iterator[Wanted]:
        """The members of each college: a team beside the one that the description has, under the same identifier."""
        for short, (name, participants) in sorted(self._teams.items()):
            team = elements.made(
                "CareTeam",
                f"{self._cpts.key}-membres-{short}"[:64],
                identifier=[{"system": elements.TEAMS, "value": f"{self._cpts.key}/{short}"}],
                status="active",
                category=elements.team_categories("college"),
                name=name,
                participant=participants,
                managingOrganization=[reference("Organization", self._cpts.id)],
            )
            yield Wanted(team, Place(self._lines.name))


@cache
def _columns() -> tuple[Column, ...]:
    return columns(load("membres.yaml", "colonnes.schema.json")["colonnes"])


# --- one line --------------------------------------------------------------------------------------------------------


def _member(row: Mapping[str, str], cpts: Cpts) -> _Member:
    """Return what a line says. Raises ``Fault`` with all that is wrong with its fields."""
    for key in ("rpps", "nom", "prenom", "profession", "entree"):
        if key not in row:
            raise Fault(f"n'a rien dans la colonne « {_columns_by_key()[key]} »", "complétez la cellule")
    rpps, word = partial(_rpps, row["rpps"]), partial(_profession, row["profession"])
    days, colleges = partial(_days, row), partial(_colleges_of, row, cpts)
    if faults := list(_faults(rpps, word, days, colleges)):
        raise Fault(" ; ".join(fault.reason for fault in faults), " ; ".join(fault.remedy for fault in faults))
    return _Member(rpps(), (row["nom"], row["prenom"]), word(), *days(), colleges())


def _faults(*reads: Callable[[], object]) -> Iterator[Fault]:
    for read in reads:
        try:
            read()
        except Fault as fault:
            yield fault


def _profession(text: str) -> Word:
    word = words("professions").spelt(text)
    if word is None:
        known = ", ".join(word.label for word in words("professions").all.values())
        raise Fault(f"a une profession inconnue, « {text[:40]} »", f"écrivez l'une de : {known}")
    return word


def _days(row: Mapping[str, str]) -> tuple[str, str | None]:
    joined, left = _day(row["entree"], "entree"), _day(row["sortie"], "sortie") if "sortie" in row else None
    if left is not None and left < joined:
        raise Fault("a une date de sortie avant la date d'entrée", "corrigez l'une des deux dates")
    return joined, left


def _rpps(text: str) -> str:
    try:
        return parse("RPPS", text)
    except ValueError:
        told = f"a un numéro RPPS impossible, « {text[:20]} »"
        remedy = "écrivez ses 11 chiffres"
        if re.fullmatch(r"8\d{11}", text):
            remedy += " sans le 8 qui les précède dans l'identifiant national"
        elif "E+" in text.upper():
            remedy += " : le tableur l'a changé en nombre, mettez la colonne au format texte"
        raise Fault(told, remedy) from None


def _day(text: str, key: str) -> str:
    match = _DATE.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        day, month, year = match.group(6, 5, 4) if match[4] else match.group(1, 2, 3)
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        told = f"a une date impossible dans la colonne « {_columns_by_key()[key]} », « {text[:20]} »"
        raise Fault(told, "écrivez JJ/MM/AAAA") from None


def _colleges_of(row: Mapping[str, str], cpts: Cpts) -> tuple[str, ...]:
    names = tuple(name.strip() for name in re.split(r"[,|]", row.get("colleges", "")) if name.strip())
    for name in names:
        if cpts.colleges and _college(name, cpts) is None:
            known = ", ".join(cpts.colleges.values())
            raise Fault(f"a un collège inconnu, « {name[:40]} »", f"écrivez l'un de : {known}")
    return names


def _college(name: str, cpts: Cpts) -> str | None:
    """Return the id of a college that the description has, by its name or id."""
    return next((id_ for id_, known in cpts.colleges.items() if folded(name) in {folded(known), folded(id_)}), None)


def _columns_by_key() -> dict[str, str]:
    return {column.key: column.names[0] for column in _columns()}
