"""The check of a SAS server: plays the platform's requests against any server, and says what the recette would refuse.

Source: the guide of the ANS, https://interop.esante.gouv.fr/ig/fhir/sas/, and what its test kit demands beyond it
"""

from fhir_server.france.sas.checking.caller import NotFhir
from fhir_server.france.sas.checking.report import Report, leftovers, told
from fhir_server.france.sas.checking.running import Wish, play

__all__ = ["NotFhir", "Report", "Wish", "leftovers", "play", "told"]
