"""The command ``fhir-server``: a module for each command, and what they share.

A command reads its flags, calls what does the work, and says what came of it; failures that were expected are one
sentence. ``docs/commands.md`` is what a person reads of it.
"""
