"""Whether a resource is FHIR R4: base structure, required codes, references, invariants, a second opinion.

A validator returns a list of issues, never an exception, and tells everything at once.
Spec: https://hl7.org/fhir/R4/validation.html
"""
