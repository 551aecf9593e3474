"""Where a guide's definitions stand: the resources in ``profiles/``, FHIR JSON that can be changed without Python.

Spec: https://hl7.org/fhir/R4/implementationguide.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fhir_server.definitions.parameters import SearchParameter, search_parameters
from fhir_server.model.formats import parse

_PACKAGE: Final = Path(__file__).parent.parent


def _data(name: str) -> Path:
    """Return a folder of data: inside of the package where it is installed, beside it in a checkout."""
    packaged = _PACKAGE / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


PROFILES: Final = _data("profiles")
"""This project's conformance resources."""

MAPPINGS: Final = _data("mappings")
"""What is told in other forms than FHIR, and how it becomes FHIR."""


def parameters_of(folder: Path = PROFILES) -> tuple[SearchParameter, ...]:
    """Return the search parameters whose definitions stand in a folder. Raises ``ValueError`` naming a bad file."""
    parameters: list[SearchParameter] = []
    for file in sorted(folder.glob("SearchParameter-*.json")):
        try:
            parameters.extend(search_parameters(parse(file.read_bytes())))
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{file.name} is not a SearchParameter that can be used: {error!r}") from error
    return tuple(parameters)
