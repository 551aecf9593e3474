"""The table of operations: each, and what does it. Routes, refusals and what is told of the server follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fhir_server.definitions.operations import Operation
from fhir_server.operations.call import Perform

PERFORM: Final[Mapping[Operation, Perform]] = MappingProxyType({})

OPERATIONS: Final = tuple(PERFORM)
