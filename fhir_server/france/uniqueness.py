"""The rule that a national identifier belongs to one active resource of its family, confirmed at the head of the log.

What is written claims its numbers; whoever has one of them already, under any of its forms, is found in the index, and
only then read. Spec: https://hl7.org/fhir/R4/http.html#update (business rules)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

from fhir_server.france.families import Claim, Families
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.paths import located
from fhir_server.interactions.rules import Asked, AtHead, Ruling
from fhir_server.model.formats import Resource, parse
from fhir_server.model.interaction import Interaction
from fhir_server.model.reference import Key
from fhir_server.outcome import Conflict, Issue, IssueType
from fhir_server.search.query import UNIT_SEPARATOR as US
from fhir_server.search.query import Equality
from fhir_server.storage.protocol import Change, Snapshot, View


@dataclass(frozen=True, slots=True)
class UniqueIdentifiers:
    """The rule. It looks at no snapshot: what counts is told by the resources written, and at the head."""

    families: Families
    looks: bool = False

    @property
    def concerns(self) -> frozenset[str]:
        """The types that have families."""
        return self.families.types

    async def prepare(self, _snapshot: Snapshot, asked: Sequence[Asked]) -> Ruling | None:
        """Return what is to be confirmed: that nobody else has the numbers of what is written."""
        written: list[_Written] = []
        pace = Pace()
        for one in asked:
            if one.resource is not None and one.key.type in self.concerns:
                is_new = one.interaction is Interaction.CREATE
                written.append(_Written(self.families, one.key, one.resource, one.at, is_new))
                written[-1].look()
                await pace.keep()
        return Ruling(at_head=_at_head(self.families, written)) if written else None


@dataclass(slots=True)
class _Written:
    """A resource that is written, and what it claims; ``at`` is the Bundle entry that it came in.

    ``is_new``: its id was just given, and nobody will ever find it if the write is refused."""

    families: Families
    key: Key
    resource: Resource
    at: str
    is_new: bool
    _claims: Mapping[Claim, str] | None = None

    def look(self) -> None:
        """Find out what it claims, if it is a valid resource: that is checked later, before the plan."""
        with suppress(AttributeError, TypeError):
            self._claims = self.families.claims(self.resource)

    @property
    def claims(self) -> Mapping[Claim, str]:
        """What it claims, with the paths of the identifiers that do."""
        return self.families.claims(self.resource) if self._claims is None else self._claims

    @property
    def name(self) -> str:
        """How a refusal names it to others: by what its client knows it by."""
        return self.at if self.is_new else str(self.key)

    def taken(self, claim: Claim, other: str) -> Issue:
        """Return why it cannot have what another resource has."""
        if self.is_new:
            told = f"this identifier is that of {other}, which is active: update or deactivate that one"
        else:
            told = (
                f"this identifier of {self.key} is that of {other}, which is active: update or deactivate one of them"
            )
        issue = Issue(IssueType.DUPLICATE, told, (self.claims[claim],), id="identifier-taken")
        return located(issue, self.at)


def _at_head(families: Families, written: Sequence[_Written]) -> AtHead:
    async def at_head(view: View, changes: Sequence[Change]) -> Mapping[Key, Sequence[Issue]]:
        changed = frozenset(change.key for change in changes)
        wanted: defaultdict[Claim, list[_Written]] = defaultdict(list)
        for one in written:
            for claim in one.claims if one.key in changed else ():
                wanted[claim].append(one)
        issues = [one.taken(claim, first.name) for claim, (first, *others) in wanted.items() for one in others]
        for claim, other in await _held(view, families, wanted, changed):
            issues.extend(one.taken(claim, str(other)) for one in wanted[claim])
        if issues:
            raise Conflict(*dict.fromkeys(issues))
        return {}

    return at_head


async def _held(
    view: View, families: Families, wanted: Collection[Claim], changed: Collection[Key]
) -> list[tuple[Claim, Key]]:
    """Return what is wanted and has an owner already, of those that are not changed."""
    lookups = [(claim.type, Equality("identifier", f"{claim.value}{US}{claim.system}")) for claim in wanted]
    holders = await view.holders(lookups) if lookups else ()
    others = [key for key in dict.fromkeys(chain.from_iterable(holders)) if key not in changed]
    stored = await view.read(others) if others else {}
    bodies = ((key, one.body) for key, one in stored.items())
    return [
        (claim, key)
        for key, body in bodies
        if body is not None
        for claim in families.claims(parse(body))
        if claim in wanted
    ]
