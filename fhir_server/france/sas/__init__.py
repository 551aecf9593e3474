"""The SAS (service d'accès aux soins): what the national platform asks of an editor's server, and how it asks it.

Source: the guide of the ANS, https://interop.esante.gouv.fr/ig/fhir/sas/
"""
