"""FHIRPath, compiled: the subset that R4's search parameters and invariants need.

``compile_path`` gives a ``Path``; called with an ``Item`` and an ``Environment`` it gives items.
Spec: http://hl7.org/fhirpath/N1/, https://hl7.org/fhir/R4/fhirpath.html
"""

from fhir_server.fhirpath.item import Budget, Environment, EvaluationError, ExpressionError, Item, Judge
from fhir_server.fhirpath.path import Path, compile_path

__all__ = ["Budget", "Environment", "EvaluationError", "ExpressionError", "Item", "Judge", "Path", "compile_path"]
