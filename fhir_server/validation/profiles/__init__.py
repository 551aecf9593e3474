"""Whether a resource conforms to profiles: StructureDefinitions compiled to small checks.

What base R4 says of a resource is told by the rooms around; here is only what a profile adds to it.
Spec: https://hl7.org/fhir/R4/profiling.html
"""
