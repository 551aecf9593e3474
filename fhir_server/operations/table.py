"""The table of operations: each, and what does it. Routes, refusals and what is told of the server follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fhir_server.definitions.operations import Operation
from fhir_server.operations import code_system_validate_code, value_set_validate_code
from fhir_server.operations.call import Perform
from fhir_server.operations.expand import EXPAND, expand
from fhir_server.operations.lookup import LOOKUP, lookup
from fhir_server.operations.subsumes import SUBSUMES, subsumes
from fhir_server.operations.translate import TRANSLATE, translate_code
from fhir_server.operations.validate import VALIDATE, validate

PERFORM: Final[Mapping[Operation, Perform]] = MappingProxyType(
    {
        code_system_validate_code.VALIDATE_CODE: code_system_validate_code.validate_code,
        EXPAND: expand,
        LOOKUP: lookup,
        SUBSUMES: subsumes,
        TRANSLATE: translate_code,
        VALIDATE: validate,
        value_set_validate_code.VALIDATE_CODE: value_set_validate_code.validate_code,
    }
)

OPERATIONS: Final = tuple(PERFORM)
