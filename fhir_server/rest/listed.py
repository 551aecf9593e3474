"""The clients that are let in, as the file of them is: looked at again at most once a second, like the files of TLS."""

from __future__ import annotations

import logging
from pathlib import Path
from time import monotonic
from typing import Final

from fhir_server.rest.subjects import Client, listed
from fhir_server.rest.tls import LOOK_AGAIN

_LOG: Final = logging.getLogger(__name__)


class Listed:
    """A list that follows its file; one that stands in the setting itself stays."""

    def __init__(self, text: str) -> None:
        """Raises ``ValueError`` where no list can be made of the text."""
        self._text = text
        self._file = Path(text[1:]) if text.startswith("@") else None
        self._stamp = self._stamped()
        self._clients = listed(text)
        self._looked = monotonic()

    def clients(self) -> frozenset[Client]:
        """Return those on the list now; where the file cannot be read, those who were."""
        now = monotonic()
        if self._file is not None and now - self._looked >= LOOK_AGAIN:
            self._looked = now
            self._look()
        return self._clients

    def _look(self) -> None:
        stamp = self._stamped()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._clients = listed(self._text)
        except ValueError:  # its text holds names
            _LOG.error("the list of clients cannot be read: those who were on it are let in")
        else:
            _LOG.info("the list of clients has changed and was read again")

    def _stamped(self) -> tuple[int, ...]:
        """Return what changes when the file does; empty: there is none."""
        try:
            found = self._file.stat() if self._file is not None else None
        except OSError:
            found = None
        return () if found is None else (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
