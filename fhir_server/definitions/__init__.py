"""What is installed: structures, invariants, required codes, search parameters, compartments, and the registry of them.

Spec: https://hl7.org/fhir/R4/conformance-module.html
"""
