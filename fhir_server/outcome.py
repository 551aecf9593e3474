"""What went wrong, in FHIR's words: issues, and the errors that carry them.

    FhirError(issues)
    ├── BadRequest            400  invalid
    ├── Unauthorized          401  login
    ├── Forbidden             403  forbidden
    ├── NotFound              404  not-found
    ├── MethodNotAllowed      405  not-supported
    ├── NotAcceptable         406  not-supported
    ├── RequestTimeout        408  timeout
    ├── Conflict              409  conflict
    ├── Gone                  410  deleted
    ├── PreconditionFailed    412  conflict
    ├── TooLarge              413  too-long
    ├── UnsupportedMediaType  415  not-supported
    ├── Unprocessable         422  processing
    ├── HeadersTooLarge       431  too-long
    ├── Unavailable           503  transient
    └── InsufficientStorage   507  no-store

Each class fixes the HTTP status and the default issue code. Raised anywhere, rendered once, by ``rest``
or, for an entry of a batch, by ``interactions``. Anything else that is raised is a bug of ours.

Spec: https://hl7.org/fhir/R4/operationoutcome.html
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

ISSUE_SYSTEM = "urn:fhir-server:issue"
"""The code system of our stable issue ids, given in ``OperationOutcome.issue.details.coding``."""


class Severity(StrEnum):
    """https://hl7.org/fhir/R4/valueset-issue-severity.html"""

    FATAL = "fatal"
    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


class IssueType(StrEnum):
    """The part of https://hl7.org/fhir/R4/valueset-issue-type.html that this server uses."""

    INVALID = "invalid"
    STRUCTURE = "structure"
    REQUIRED = "required"
    VALUE = "value"
    INVARIANT = "invariant"
    LOGIN = "login"
    FORBIDDEN = "forbidden"
    PROCESSING = "processing"
    NOT_SUPPORTED = "not-supported"
    DUPLICATE = "duplicate"
    MULTIPLE_MATCHES = "multiple-matches"
    NOT_FOUND = "not-found"
    DELETED = "deleted"
    TOO_LONG = "too-long"
    CODE_INVALID = "code-invalid"
    EXTENSION = "extension"
    TOO_COSTLY = "too-costly"
    BUSINESS_RULE = "business-rule"
    CONFLICT = "conflict"
    TRANSIENT = "transient"
    NO_STORE = "no-store"
    TIMEOUT = "timeout"
    EXCEPTION = "exception"
    INFORMATIONAL = "informational"


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue of an OperationOutcome.

    ``diagnostics`` says what was received and what was expected, without personal data. ``expression`` holds
    the FHIRPath of each element concerned, or ``http.<header or parameter>``. ``id`` is stable: clients and
    tests may rely on it whatever the text says.
    """

    code: IssueType
    diagnostics: str
    expression: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR
    id: str | None = None

    @property
    def is_error(self) -> bool:
        """Tell whether it forbids what was asked."""
        return self.severity in (Severity.ERROR, Severity.FATAL)

    def as_json(self) -> dict[str, Any]:
        """Return the element ``OperationOutcome.issue``."""
        issue: dict[str, Any] = {"severity": self.severity.value, "code": self.code.value}
        if self.id is not None:
            issue["details"] = {"coding": [{"system": ISSUE_SYSTEM, "code": self.id}]}
        issue["diagnostics"] = self.diagnostics
        if self.expression:
            issue["expression"] = list(self.expression)
        return issue


class FhirError(Exception):
    """A request that is refused: the issues tell why, the class fixes the HTTP status."""

    status: ClassVar[int] = 500
    code: ClassVar[IssueType] = IssueType.EXCEPTION

    def __init__(self, *issues: Issue | str, headers: dict[str, str] | None = None) -> None:
        """Take issues, or texts that become issues with the default code of the class."""
        self.issues = tuple(Issue(self.code, issue) if isinstance(issue, str) else issue for issue in issues)
        self.headers = headers or {}
        super().__init__("; ".join(issue.diagnostics for issue in self.issues))


class BadRequest(FhirError):
    """The request is not FHIR: malformed JSON, wrong structure, unknown parameter, bad value."""

    status, code = 400, IssueType.INVALID


class Unauthorized(FhirError):
    """The caller is not known."""

    status, code = 401, IssueType.LOGIN


class Forbidden(FhirError):
    """The caller is known and may not."""

    status, code = 403, IssueType.FORBIDDEN


class NotFound(FhirError):
    """The type, the resource or the version does not exist here."""

    status, code = 404, IssueType.NOT_FOUND


class MethodNotAllowed(FhirError):
    """The URL exists, but not with this method; ``headers`` carries ``Allow``."""

    status, code = 405, IssueType.NOT_SUPPORTED


class NotAcceptable(FhirError):
    """No format that the client accepts can be written."""

    status, code = 406, IssueType.NOT_SUPPORTED


class RequestTimeout(FhirError):
    """The request did not come in time."""

    status, code = 408, IssueType.TIMEOUT


class Conflict(FhirError):
    """The state of the server forbids it: a version moved, a slot is held, an identifier is taken."""

    status, code = 409, IssueType.CONFLICT


class Gone(FhirError):
    """The resource was deleted; ``headers`` carries the ETag of the deletion."""

    status, code = 410, IssueType.DELETED


class PreconditionFailed(FhirError):
    """If-Match names another version, or criteria match several resources."""

    status, code = 412, IssueType.CONFLICT


class TooLarge(FhirError):
    """The body, the Bundle or the commit passes a limit; the text gives both figures."""

    status, code = 413, IssueType.TOO_LONG


class UnsupportedMediaType(FhirError):
    """The body is in a format that is not read here."""

    status, code = 415, IssueType.NOT_SUPPORTED


class Unprocessable(FhirError):
    """The body is FHIR, and breaks a rule: an invariant, a profile, a rule of the server."""

    status, code = 422, IssueType.PROCESSING


class HeadersTooLarge(FhirError):
    """The request's headers pass a limit."""

    status, code = 431, IssueType.TOO_LONG


class Unavailable(FhirError):
    """The store cannot answer now; ``headers`` carries ``Retry-After``."""

    status, code = 503, IssueType.TRANSIENT


class InsufficientStorage(FhirError):
    """The disk is full."""

    status, code = 507, IssueType.NO_STORE


def operation_outcome(issues: tuple[Issue, ...] | list[Issue]) -> dict[str, Any]:
    """Return the OperationOutcome (R4 JSON) of one or more issues."""
    return {"resourceType": "OperationOutcome", "issue": [issue.as_json() for issue in issues]}
