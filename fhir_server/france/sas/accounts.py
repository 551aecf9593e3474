"""Who is written on a SAS base path: accounts of regulators (INT_R02), never a professional of the directory.

Both may have the same national number, and an update by it must not reach the other: confirmed at the head of the log.
Source: https://interop.esante.gouv.fr/ig/fhir/sas/ (INT_R02)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fhir_server.france.regulators import ACCOUNT_SYSTEM, ACCOUNTS
from fhir_server.interactions.rules import Asked, Ruling
from fhir_server.model.formats import parse
from fhir_server.model.reference import Key
from fhir_server.outcome import Conflict, Issue, IssueType, Unprocessable
from fhir_server.storage.protocol import Change, Snapshot, View


@dataclass(frozen=True, slots=True)
class AccountsOnly:
    """The rule of a SAS base path on which accounts are written."""

    concerns: frozenset[str] = frozenset({"Practitioner"})
    looks: bool = False

    async def prepare(self, _snapshot: Snapshot, asked: Sequence[Asked]) -> Ruling | None:
        """Return what is to be confirmed. What is invalid R4, and a condition such as ``If-Match``, come before it."""
        written = {one.key: one.resource for one in asked if one.key.type == "Practitioner" and one.resource}

        async def at_head(view: View, changes: Sequence[Change]) -> Mapping[Key, Sequence[Issue]]:
            if not all(map(ACCOUNTS.has, written.values())):
                told = (
                    "only accounts of regulators are written on this base path: meta.profile with FrPractitionerRegul, "
                    f"or meta.source {ACCOUNT_SYSTEM}, is expected"
                )
                raise Unprocessable(Issue(IssueType.BUSINESS_RULE, told, ("Practitioner.meta",), id="sas-account"))
            for stored in (await view.read(list(written))).values():
                if stored.body is not None and not ACCOUNTS.has(parse(stored.body)):
                    told = "this practitioner is one of the server's own directory; it is not changed here"
                    raise Conflict(Issue(IssueType.CONFLICT, told, ("Practitioner",), id="sas-account-own"))
            return {}

        return Ruling(at_head=at_head)
