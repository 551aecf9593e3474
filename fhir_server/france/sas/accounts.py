"""What the platform writes by INT_R02: accounts of regulators, and nobody else.

A Practitioner that comes on a SAS base path is an account even if it does not say so, and becomes one; professionals of
the same store are never changed there, whatever their id or number.
Source: https://interop.esante.gouv.fr/ig/fhir/sas/ (INT_R02)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fhir_server.france.regulators import ACCOUNT_SYSTEM, ACCOUNTS
from fhir_server.interactions.rules import Asked, Ruling
from fhir_server.model.formats import Resource, parse
from fhir_server.model.reference import Key
from fhir_server.outcome import Conflict, Issue, IssueType
from fhir_server.storage.protocol import Change, Snapshot, View

_TYPE: Final = "Practitioner"


def as_account(practitioner: Resource) -> Resource:
    """Return a Practitioner as an account: with the platform as its source, unless profile or source say so already."""
    meta = practitioner.get("meta", {})
    if ACCOUNTS.has(practitioner) or not isinstance(meta, dict):  # a meta that cannot be is left to validation
        return practitioner
    return {**practitioner, "meta": {**meta, "source": ACCOUNT_SYSTEM}}


@dataclass(frozen=True, slots=True)
class AccountsAlone:
    """The rule of a SAS base path that takes accounts: a Practitioner that is none stays as it is."""

    concerns: frozenset[str] = frozenset({_TYPE})
    looks: bool = False

    async def prepare(self, _snapshot: Snapshot, asked: Sequence[Asked]) -> Ruling | None:
        """Return what is confirmed at the head: that each Practitioner written is new, or an account."""
        keys = [one.key for one in asked if one.key.type == _TYPE]

        async def at_head(view: View, _changes: Sequence[Change]) -> Mapping[Key, Sequence[Issue]]:
            for stored in (await view.read(keys)).values():
                if stored.body is not None and not ACCOUNTS.has(parse(stored.body)):
                    told = "this is a professional, not the account of a regulator; professionals are not changed here"
                    raise Conflict(Issue(IssueType.CONFLICT, told, (_TYPE,), id="regulator-account-other"))
            return {}

        return Ruling(at_head=at_head)
