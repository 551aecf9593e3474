"""The French guide: what a CPTS, the SAS platform and the national guides add to R4.

Source of the SAS's parameters: ans.fhir.fr.sas 1.1.0, https://interop.esante.gouv.fr/ig/fhir/sas/
"""

from __future__ import annotations

from fhir_server.definitions.guide import parameters_of
from fhir_server.france.aliases import french_aliases
from fhir_server.france.families import read_families
from fhir_server.france.identifier_checks import IdentifierChecks
from fhir_server.france.regulators import AccountChecks
from fhir_server.france.sas import slots
from fhir_server.france.uniqueness import UniqueIdentifiers
from fhir_server.interactions.guide import Guide


def guide(*, production: bool = False, refuse_check_digits: bool = False, unique_identifiers: bool = True) -> Guide:
    """Return the guide, read from ``profiles/`` and ``mappings/``. Raises ``ValueError`` naming a bad file.

    ``production``: numbers of test patients are refused. ``unique_identifiers``: a national identifier belongs to one
    active resource of its family.
    """
    aliases = french_aliases()
    checks = (
        IdentifierChecks(aliases.system, refuse_trials=production, refuse_digits=refuse_check_digits),
        AccountChecks(aliases.system),
        slots.check,
    )
    rules = (UniqueIdentifiers(read_families(aliases.system)),) if unique_identifiers else ()
    return Guide("france", parameters_of(), aliases, checks, rules)
