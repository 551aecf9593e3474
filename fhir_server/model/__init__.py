"""FHIR data on plain JSON: bytes, primitives, references, resources, Bundles. https://hl7.org/fhir/R4/json.html"""
