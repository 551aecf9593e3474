"""Terminology: what value sets hold, what codes mean, how one code becomes another. Pure: it asks a library, no store.

Spec: https://hl7.org/fhir/R4/terminology-module.html
"""
