"""The facts of the demonstration, read from the JSON files of `mappings/demo/`; each file explains its own keys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from fhir_server.definitions.guide import MAPPINGS
from fhir_server.france.identifiers import add_prefix, fictitious_rpps
from fhir_server.model.formats import parse

FIRST_RPPS = 100
"""Lower ranks of the fictitious range stand in published samples: the demonstration keeps clear of them."""

CPTS_FILES = ("avenir-sante.json", "capacites-besancon.json")


@dataclass(frozen=True, slots=True)
class Member:
    """A fictitious professional, adherent of a CPTS.

    ``number`` is unique in the demonstration, from 1: names and national numbers derive from it. ``trade`` is the
    row of ``metiers``; ``places`` lists, for each place of consultation with an agenda, the openings.
    """

    id: str
    number: int
    family: str
    given: str
    trade: dict[str, Any]
    places: tuple[tuple[str, ...], ...]
    function: str
    visible_to: tuple[str, ...]
    commune: dict[str, Any]
    street: str
    since: str

    @property
    def rpps(self) -> str:
        """The RPPS number, of the range that belongs to nobody: 11 digits."""
        return fictitious_rpps(FIRST_RPPS + self.number)

    @property
    def national_id(self) -> str:
        """The IDNPS: ``8`` and the RPPS number."""
        return add_prefix("RPPS", self.rpps)

    @property
    def specialty(self) -> list[str] | None:
        """What the coding of the specialty is made of; None for a trade without one."""
        return self.trade.get("specialite")

    def practice_id(self, place: int) -> str:
        """The id of the role at one place, numbered from 1; the agenda of that place has it too."""
        return f"{self.id}-lieu-{place}"


@dataclass(frozen=True, slots=True)
class Cpts:
    """One CPTS: its file as it stands, and its members."""

    key: str
    facts: dict[str, Any]
    members: tuple[Member, ...]

    @property
    def id(self) -> str:
        """The logical id of the Organization."""
        return f"cpts-{self.key}"

    @property
    def communes(self) -> list[dict[str, Any]]:
        """Communes of the territory that the demonstration names."""
        communes: list[dict[str, Any]] = self.facts["territoire"]["communes-de-demonstration"]
        return communes

    def service_id(self, mission: str) -> str:
        """The logical id of the HealthcareService for unscheduled care."""
        return service_id(self.id, mission)

    def member_id(self, short: str) -> str:
        """The id of a member named by trade and rank: ``generaliste-01``."""
        return f"{self.key}-{short}"


def service_id(cpts_id: str, mission: str) -> str:
    """The id of the HealthcareService of a mission: the SAS slots of a CPTS refer to that of ``snp``."""
    return f"{cpts_id.removeprefix('cpts-')}-{mission}"


@cache
def common() -> dict[str, Any]:
    """What both CPTS share: names, trades, openings, structures."""
    return _read("commun.json")


@cache
def sos() -> dict[str, Any]:
    """The association of SOS Médecins."""
    return _read("sos-medecins.json")


def sos_place_id(place: dict[str, Any]) -> str:
    """The logical id of one of its places, a row of ``lieux``; the agenda of that place has it too."""
    return f"{sos()['cle']}-{place['id']}"


@cache
def every_cpts() -> tuple[Cpts, ...]:
    """The CPTS of the demonstration, in the order of their files."""
    found: list[Cpts] = []
    number = 0
    for name in CPTS_FILES:
        facts = _read(name)
        members = _members(facts, number)
        number += len(members)
        found.append(Cpts(facts["cle"], facts, members))
    return tuple(found)


def _read(name: str) -> dict[str, Any]:
    data: dict[str, Any] = parse((MAPPINGS / "demo" / name).read_bytes())
    return data


def _members(facts: dict[str, Any], before: int) -> tuple[Member, ...]:
    """Expand the lines of ``membres``: each says how many members of a trade open which places."""
    ranks: dict[str, int] = {}
    members: list[Member] = []
    for line in facts["membres"]:
        for _ in range(line["nombre"]):
            ranks[line["metier"]] = ranks.get(line["metier"], 0) + 1
            short = f"{line['metier']}-{ranks[line['metier']]:02d}"
            members.append(_member(facts, line, short, before + len(members) + 1))
    return tuple(members)


def _member(facts: dict[str, Any], line: dict[str, Any], short: str, number: int) -> Member:
    trade = common()["metiers"][line["metier"]]
    family, given = _name(number - 1)
    communes, streets = facts["territoire"]["communes-de-demonstration"], common()["voies"]
    return Member(
        id=f"{facts['cle']}-{short}",
        number=number,
        family=family,
        given=given,
        trade=trade,
        places=tuple(tuple(place) for place in line.get("lieux", ())),
        function=line.get("fonction", trade.get("fonction", "FON-01")),
        visible_to=(f"cpts-{facts['cle']}", *line.get("visible-aussi", ())),
        commune=communes[number % len(communes)],
        street=f"{number} {streets[number % len(streets)]}",
        since=facts["signature"],
    )


def _name(index: int) -> tuple[str, str]:
    """Pair family and given names so that no two members share both."""
    families, given = common()["noms"], common()["prenoms"]
    return families[index % len(families)], given[(index // len(families) + index) % len(given)]
