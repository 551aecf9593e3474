"""What the tests of validation share: the structures of R4, a validator of all types, data files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fhir_server.definitions.structures import Structures
from fhir_server.model.formats import parse
from fhir_server.outcome import Issue
from fhir_server.validation.validator import Validator

Told = Callable[[Any], list[tuple[str | None, str]]]


def read(name: str) -> Any:
    """Return a data file beside the tests."""
    return parse((Path(__file__).parent / name).read_bytes())


@pytest.fixture(scope="session")
def structures() -> Structures:
    return Structures.load()


@pytest.fixture(scope="session")
def validator(structures: Structures) -> Validator:
    return Validator(structures)


@pytest.fixture(scope="session")
def told(validator: Validator) -> Told:
    """Return a function: from a resource to the (id, path) of each error."""

    def tell(resource: Any) -> list[tuple[str | None, str]]:
        return [pair(issue) for issue in validator.validate(resource) if issue.is_error]

    return tell


def pair(issue: Issue) -> tuple[str | None, str]:
    return issue.id, issue.expression[0]
