"""Which of two codes is above the other. https://hl7.org/fhir/R4/codesystem-operation-subsumes.html"""

from __future__ import annotations

from fhir_server.outcome import Issue, IssueType, NotFound
from fhir_server.terminology.code_system import CodeSystem
from fhir_server.terminology.problems import not_complete


def subsumption(system: CodeSystem, first: str, second: str) -> str:
    """Return equivalent, subsumes, subsumed-by or not-subsumed, as the first code is to the second.

    Raises ``NotFound`` for a code that is not there, ``Unprocessable`` for a code system without its codes.
    """
    if system.content in {"not-present", "example"}:
        raise not_complete(system.url, system.content)
    codes = []
    for code in (first, second):
        concept = system.concept(code)
        if concept is None:
            told = f"there is no code {code} in {system.canonical}"
            raise NotFound(Issue(IssueType.NOT_FOUND, told, id="code-unknown"))
        codes.append(concept.code)
    above, below = codes
    if above == below:
        return "equivalent"
    if above in system.ancestors(below):
        return "subsumes"
    return "subsumed-by" if below in system.ancestors(above) else "not-subsumed"
