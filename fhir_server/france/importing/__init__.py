"""Imports: a CPTS description, a list of members, the national registers become FHIR; a CPTS becomes its description.

``importing`` is what a command calls. A source (``cpts_file``, ``members_file``, ``annuaire_file``, ``finess_file``)
reads a format; one engine (``run``, ``comparing``, ``applying`` over a ``ledger``) does what they have in common.
"""

from fhir_server.france.importing.commands import KINDS, Wish, import_file
from fhir_server.france.importing.describing import describe
from fhir_server.france.importing.run import MAX_DEACTIVATED, Options

__all__ = ["KINDS", "MAX_DEACTIVATED", "Options", "Wish", "describe", "import_file"]
