"""What is in the journal goes to the platform: in order for each appointment, again after what was not answered.

A create is tried once; whatever came of it, all that follows is an update by identifier, which does no harm twice.
Source: https://interop.esante.gouv.fr/ig/fhir/sas/ (INT_R03)
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from fhir_server.france.sas.push.journal import Item, Journal, State
from fhir_server.france.sas.push.platform import Fate, Outcome, Platform

TRIES: Final = 6
"""So often one appointment, or the platform, is tried by a run that is to end."""

LONGEST: Final = 60.0
"""Seconds between two tries, if the platform does not ask for more."""

LONGEST_ASKED: Final = 600.0
"""What the platform may ask for."""

Tell = Callable[[str], None]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Remains:
    """What a run has sent, and what it leaves."""

    sent: int
    refused: int
    unsendable: int
    waiting: int


@dataclass(slots=True)
class _Trouble:
    """How often in a row something was not answered, and when (by the clock) it may be tried again."""

    tries: int = 0
    due: float = 0.0

    def again(self, now: float, asked: float) -> float:
        """Count one more; return the seconds until the next."""
        self.tries += 1
        own = min(LONGEST, 2.0 ** (self.tries - 1)) * random.uniform(0.75, 1.0)  # noqa: S311 no secret
        wait = max(own, min(asked, LONGEST_ASKED))
        self.due = now + wait
        return wait


@dataclass(slots=True)
class Sending:
    """Sends what waits in a journal. ``is_endless``: nothing is ever given up."""

    journal: Journal
    platform: Platform
    tell: Tell
    is_endless: bool
    now: Clock = time.monotonic
    sent: int = 0
    _all: _Trouble = field(default_factory=_Trouble)
    _own: dict[str, _Trouble] = field(default_factory=dict)

    async def send(self) -> None:
        """Send all that may be sent now, the oldest first; what is not answered holds up its own appointment alone,
        unless nothing is answered."""
        if self._is_over(self._all) or self._all.due > self.now():
            return
        place, held = 0, set[str]()  # an appointment that is passed over once is passed over by this whole round
        while (item := self.journal.next(place)) is not None:
            place = item.seq
            if item.id in held or not self._may_go(item.id):
                held.add(item.id)
                continue
            outcome = await self._send(item)
            if outcome.fate is Fate.LATER and outcome.is_about_all:
                wait = self._all.again(self.now(), outcome.wait)
                self.tell(f"The platform: {outcome.reason}; next try in {wait:.0f} s.")
                return
            self._all = _Trouble()
            if outcome.fate is Fate.LATER:
                held.add(item.id)

    def due(self) -> float | None:
        """Return the seconds until something may be sent; None: nothing waits, or all of it was given up."""
        if self._is_over(self._all):
            return None
        if self._all.tries:
            return max(0.0, self._all.due - self.now())
        place, dues = 0, []
        while (item := self.journal.next(place)) is not None:
            place = item.seq
            trouble = self._own.get(item.id, _Trouble())
            if not self._is_over(trouble):
                dues.append(trouble.due)
        return max(0.0, min(dues) - self.now()) if dues else None

    def remains(self) -> Remains:
        """Return what was sent, and what is left."""
        count = self.journal.count
        waiting = count(State.WAITING, State.TRYING)
        return Remains(self.sent, count(State.REFUSED), count(State.UNSENDABLE), waiting)

    def _may_go(self, id_: str) -> bool:
        trouble = self._own.get(id_)
        return trouble is None or not (self._is_over(trouble) or trouble.due > self.now())

    def _is_over(self, trouble: _Trouble) -> bool:
        return not self.is_endless and trouble.tries >= TRIES

    async def _send(self, item: Item) -> Outcome:
        self.journal.trying(item)
        outcome = await (self.platform.update(item.body) if item.tried else self.platform.create(item.body))
        if outcome.fate is Fate.EXISTS:
            outcome = await self.platform.update(item.body)
        named = f"Appointment/{item.id}, version {item.version}"
        match outcome.fate:
            case Fate.DONE:
                self.journal.sent(item)
                self.sent += 1
                self._own.pop(item.id, None)
            case Fate.REFUSED:
                self.journal.refused(item, outcome.reason)
                self._own.pop(item.id, None)
                self.tell(f"{named}: refused, {outcome.reason}.")
            case _ if not outcome.is_about_all:
                wait = self._own.setdefault(item.id, _Trouble()).again(self.now(), outcome.wait)
                self.tell(f"{named}: {outcome.reason}; next try in {wait:.0f} s.")
        return outcome
