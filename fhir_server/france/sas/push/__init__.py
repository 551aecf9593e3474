"""INT_R03 from the editor's side: our appointments made for the SAS are told to the platform, in the order of the log.

    log ── following: which, and what of them (outgoing) ──> journal ── sending ──> platform

Source: https://interop.esante.gouv.fr/ig/fhir/sas/ (INT_R03)
"""

from fhir_server.france.sas.push.following import PushOptions, push
from fhir_server.france.sas.push.platform import Tls
from fhir_server.france.sas.push.sending import Remains

__all__ = ["PushOptions", "Remains", "Tls", "push"]
