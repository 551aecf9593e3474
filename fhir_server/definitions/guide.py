"""Where a guide's definitions stand: the resources in ``profiles/``, FHIR JSON that can be changed without Python.

Spec: https://hl7.org/fhir/R4/implementationguide.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from fhir_server.definitions.parameters import SearchParameter, search_parameters
from fhir_server.model.formats import Resource, parse
from fhir_server.outcome import FhirError

_PACKAGE: Final = Path(__file__).parent.parent


def _data(name: str) -> Path:
    """Return a folder of data: inside of the package where it is installed, beside it in a checkout."""
    packaged = _PACKAGE / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


PROFILES: Final = _data("profiles")
"""This project's conformance resources."""

MAPPINGS: Final = _data("mappings")
"""What is told in other forms than FHIR, and how it becomes FHIR."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of conformance resources, one a file."""

    path: Path = PROFILES

    def fingerprint(self) -> str:
        """Return what tells two editions of the folder apart: of the names and bytes of its files."""
        digest = sha256()
        for file in self._files():
            data = file.read_bytes()
            digest.update(f"{file.name} {len(data)}\n".encode())
            digest.update(data)
        return digest.hexdigest()

    def resources(self) -> Iterator[tuple[str, Resource]]:
        """Yield the name of each file and what it holds. Raises ``ValueError`` naming a bad file."""
        for file in self._files():
            try:
                resource = parse(file.read_bytes())
            except FhirError as error:
                raise ValueError(f"{file.name}: {error.issues[0].diagnostics}") from None
            if not isinstance(resource, dict):
                raise ValueError(f"{file.name}: it is not a JSON object")
            yield file.name, resource

    def _files(self) -> list[Path]:
        return sorted(self.path.glob("*.json"))


def parameters_of(folder: Path = PROFILES) -> tuple[SearchParameter, ...]:
    """Return the search parameters whose definitions stand in a folder. Raises ``ValueError`` naming a bad file."""
    parameters: list[SearchParameter] = []
    for file in sorted(folder.glob("SearchParameter-*.json")):
        try:
            parameters.extend(search_parameters(parse(file.read_bytes())))
        except (FhirError, KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{file.name} is not a SearchParameter that can be used: {error!r}") from error
    return tuple(parameters)
