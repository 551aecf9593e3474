"""What the sources of the national registers have in common: one file, perhaps only of some communes.

https://annuaire.sante.fr, https://finess.esante.gouv.fr
"""

from __future__ import annotations

from pathlib import Path

from fhir_server.france.importing.findings import Fault, FileRefused, Place
from fhir_server.france.importing.lines import Lines
from fhir_server.france.importing.source import Owner


class RegisterFile:
    """One file of a register."""

    kind: str
    """Which register: the kind of its ``Owner``."""
    each_line = False

    def __init__(self, path: Path, scope: str, communes: frozenset[str] | None) -> None:
        """``communes``: INSEE codes of the structures wanted, None for all. Raises ``FileRefused``."""
        self.owner = Owner(self.kind, scope)
        self._communes = communes
        self._lines = Lines(path, "iso-8859-1")

    @property
    def position(self) -> tuple[int, int]:
        """Bytes read, and bytes there are."""
        return self._lines.read, self._lines.size

    def _check_width(self, received: int, expected: int, number: int) -> None:
        """Raise ``Fault`` for a line that has not the fields expected, ``FileRefused`` if the file ends in it."""
        if received == expected:
            return
        told = f"a {received} champs au lieu de {expected}"
        if self._lines.is_cut:
            place = Place(self._lines.name, number)
            raise FileRefused(place, f"{told}, et le fichier s'arrête là", "téléchargez-le de nouveau")
        raise Fault(told, "téléchargez le fichier de nouveau")
