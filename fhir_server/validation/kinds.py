"""The kinds of issues that validation tells, by stable id: issue code, HTTP status, meaning.

R4 answers 400 to what "could not be parsed or failed basic FHIR validation rules", 422 to what "violated
applicable FHIR profiles or server business rules". Here *basic* is what one element shows by itself: its JSON
type, name, format, cardinality, required code. A rule between elements or resources is 422.

Spec: https://hl7.org/fhir/R4/http.html#create, https://hl7.org/fhir/R4/validation.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from fhir_server.outcome import Issue, IssueType

PRIMITIVES: Final = (  # noqa: SIM905 a list would take a line a name
    "base64Binary boolean canonical code date dateTime decimal id instant integer markdown oid positiveInt string "
    "time unsignedInt uri url uuid xhtml"
).split()
"""The primitive types of R4. Spec: https://hl7.org/fhir/R4/datatypes.html#primitive"""

FORMATTED: Final = [name for name in PRIMITIVES if name not in ("boolean", "string", "markdown", "xhtml")]
"""Those with a format beyond their JSON type; what is wrong with XHTML is told by txt-1 and txt-2."""


class Kind(NamedTuple):
    """What is common to all issues of one id."""

    code: IssueType
    status: int
    meaning: str


_TABLE: Final[dict[str, Kind]] = {
    "structure-resource-type": Kind(IssueType.STRUCTURE, 400, "resourceType is missing, not a string, or not of R4"),
    "structure-unknown-element": Kind(IssueType.STRUCTURE, 400, "the type has no such property"),
    "structure-depth": Kind(IssueType.STRUCTURE, 400, "objects and arrays are nested too deep"),
    "structure-choice": Kind(IssueType.STRUCTURE, 400, "a choice element has values of several types"),
    "structure-null": Kind(IssueType.STRUCTURE, 400, "null, elsewhere than in an array paired with its _property"),
    "structure-sibling": Kind(IssueType.STRUCTURE, 400, "an array and its _property array have unlike lengths"),
    "empty-object": Kind(IssueType.STRUCTURE, 400, "an object without content (rule ele-1)"),
    "empty-array": Kind(IssueType.STRUCTURE, 400, "an array without items"),
    "type-object": Kind(IssueType.STRUCTURE, 400, "an object is expected"),
    **{f"type-{name}": Kind(IssueType.STRUCTURE, 400, f"not the JSON type of {name}") for name in PRIMITIVES},
    **{f"format-{name}": Kind(IssueType.VALUE, 400, f"not in the format of {name}") for name in FORMATTED},
    "string-blank": Kind(IssueType.VALUE, 400, "a string that is empty or all white space"),
    "string-character": Kind(IssueType.VALUE, 400, "a control character below U+0020, or half a surrogate pair"),
    "string-length": Kind(IssueType.VALUE, 400, "a string of more than 1,048,576 characters"),
    "cardinality-array": Kind(IssueType.STRUCTURE, 400, "an array is expected, also for one value"),
    "cardinality-single": Kind(IssueType.STRUCTURE, 400, "one value is expected, not an array"),
    "cardinality-min": Kind(IssueType.REQUIRED, 400, "a mandatory element is missing"),
    "code-required": Kind(IssueType.CODE_INVALID, 400, "a code outside of the value set that R4 requires"),
    "reference-syntax": Kind(IssueType.VALUE, 400, "no form of a literal reference"),
    "reference-conditional": Kind(IssueType.VALUE, 400, "a search in place of a reference, outside of a transaction"),
    "reference-type": Kind(
        IssueType.BUSINESS_RULE, 422, "Reference.type is no type of R4, or not that of the reference"
    ),
    "reference-target": Kind(IssueType.BUSINESS_RULE, 422, "the element may not refer to a resource of this type"),
    "contained-id": Kind(IssueType.BUSINESS_RULE, 422, "a contained resource without id"),
    "contained-id-duplicate": Kind(IssueType.DUPLICATE, 422, "two contained resources with one id"),
    "resource-not-served": Kind(IssueType.NOT_SUPPORTED, 422, "a resource type of R4 that is not served here"),
    "invariant": Kind(IssueType.INVARIANT, 422, "invariant-<key>: a rule of R4 between elements does not hold"),
    "invariant-not-checked": Kind(IssueType.NOT_SUPPORTED, 422, "a warning: a rule could not be evaluated"),
    "second-opinion": Kind(IssueType.PROCESSING, 422, "the models of fhir.resources refuse what our checks accept"),
    "issues-cut": Kind(IssueType.INFORMATIONAL, 422, "there are more issues than are told"),
}

KINDS: Final[Mapping[str, Kind]] = MappingProxyType(_TABLE)
"""Every id that validation gives; that of an invariant stands under ``invariant``."""


_NOT_CHECKED: Final = IssueType.NOT_SUPPORTED

PROFILE_KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "profile-min": Kind(IssueType.REQUIRED, 422, "fewer values, or items of a slice, than a profile asks for"),
        "profile-max": Kind(IssueType.STRUCTURE, 422, "more values, or items of a slice, than a profile allows"),
        "profile-type": Kind(IssueType.STRUCTURE, 422, "a value, or a resource, of a type that a profile excludes"),
        "profile-none": Kind(IssueType.STRUCTURE, 422, "a value conforms to none of the profiles that it may have"),
        "profile-fixed": Kind(IssueType.VALUE, 422, "not the value that a profile fixes"),
        "profile-pattern": Kind(IssueType.VALUE, 422, "not all of the pattern that a profile gives"),
        "profile-length": Kind(IssueType.VALUE, 422, "longer than a profile allows"),
        "profile-bound": Kind(IssueType.VALUE, 422, "below the minimum or above the maximum of a profile"),
        "profile-code": Kind(
            IssueType.CODE_INVALID, 422, "a code outside of a profile's value set; a warning where it is extensible"
        ),
        "profile-target": Kind(
            IssueType.STRUCTURE,
            422,
            "a reference to a resource that a profile excludes, by its type or its own profile",
        ),
        "profile-aggregation": Kind(
            IssueType.STRUCTURE,
            422,
            "a reference that is contained, bundled or versioned otherwise than a profile asks",
        ),
        "profile-slice-closed": Kind(IssueType.STRUCTURE, 422, "an item of no slice, where a profile allows no other"),
        "profile-slice-order": Kind(IssueType.STRUCTURE, 422, "an item in another place than the order of slices asks"),
        "profile-slice-none": Kind(
            IssueType.INFORMATIONAL,
            422,
            "a remark: an item is of no slice, where a profile or a value set tells them apart",
        ),
        "extension-context": Kind(IssueType.EXTENSION, 422, "an extension where its definition does not allow it"),
        "profile-not-checked": Kind(_NOT_CHECKED, 422, "a warning: a profile is not loaded, or cannot be used"),
        "value-set-not-checked": Kind(_NOT_CHECKED, 422, "a warning: the codes of a value set are not known here"),
        "extension-not-checked": Kind(_NOT_CHECKED, 422, "a warning: a modifier extension is not loaded"),
        "slicing-not-checked": Kind(_NOT_CHECKED, 422, "a warning: what belongs to a slice cannot be told"),
        "element-not-checked": Kind(_NOT_CHECKED, 422, "a warning: a profile names an element that R4 does not have"),
        "validation-cut": Kind(_NOT_CHECKED, 422, "a warning: checking profiles stopped, it would have cost too much"),
    }
)
"""Every id that checking profiles gives beside those of invariants. They forbid only where a profile is demanded."""


def kind_of(id_: str) -> Kind:
    """Return the kind of an issue id: ``invariant-app-1`` is an ``invariant``. Raises ``KeyError``."""
    found = KINDS.get(id_) or PROFILE_KINDS.get(id_)
    if found is not None:
        return found
    if id_.startswith("invariant-"):
        return KINDS["invariant"]
    raise KeyError(id_)


def status_of(issues: Iterable[Issue]) -> int | None:
    """Return the HTTP status that refuses a resource with these issues, None if none of them is an error.

    400 if any error says that it is not FHIR, else 422; so is an error whose id is not of this room (a profile's).
    """
    status = None
    for issue in issues:
        if issue.is_error:
            status = 422
            kind = KINDS.get(issue.id or "")
            if kind is not None and kind.status == 400:
                return 400
    return status
