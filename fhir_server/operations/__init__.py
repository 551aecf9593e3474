"""The operations: a module for each, around them what all share.

Spec: https://hl7.org/fhir/R4/operations.html
"""
