"""The interactions of the RESTful API, by their official codes. https://hl7.org/fhir/R4/http.html"""

from __future__ import annotations

from enum import StrEnum


class Interaction(StrEnum):
    """https://hl7.org/fhir/R4/valueset-type-restful-interaction.html and valueset-system-restful-interaction.html"""

    READ = "read"
    VREAD = "vread"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"
    CREATE = "create"
    HISTORY_INSTANCE = "history-instance"
    HISTORY_TYPE = "history-type"
    HISTORY_SYSTEM = "history-system"
    SEARCH_TYPE = "search-type"
    SEARCH_SYSTEM = "search-system"
    CAPABILITIES = "capabilities"
    TRANSACTION = "transaction"
    BATCH = "batch"
    OPERATION = "operation"
