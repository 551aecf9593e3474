"""The CapabilityStatement of a SAS base path against those of the guide's actors.

Spec: https://hl7.org/fhir/R4/capabilitystatement.html; https://interop.esante.gouv.fr/ig/fhir/sas/artifacts.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fhir_server.france.sas.actors import PARTS
from fhir_server.france.sas.base import Actor
from fhir_server.france.sas.checking.answer import Answer, check_media
from fhir_server.france.sas.checking.looking import objects, text, texts
from fhir_server.france.sas.checking.verdict import Verdict


def check_statement(answer: Answer, actors: Iterable[Actor]) -> Iterator[Verdict]:
    """Judge what a server says of itself, for the actors that it plays."""
    is_one = answer.status == 200 and answer.type == "CapabilityStatement"
    yield Verdict("metadata", is_one, "", answer.told)
    if not is_one:
        return
    yield from check_media(answer)
    version = text(answer.json, "fhirVersion")
    yield Verdict("metadata-version", version == "4.0.1", "CapabilityStatement.fhirVersion", version or "none")
    resources = objects(answer.json, "rest", "resource")
    for actor in actors:
        for part in PARTS[actor]:
            told = [one for one in resources if text(one, "type") == part.type]
            codes = texts(told, "interaction", "code")
            missing = [one.value for one in part.interactions if one.value not in codes]
            where = f"CapabilityStatement.rest.resource {part.type}"
            yield Verdict("metadata-interactions", not missing, where, ", ".join(missing))
            includes = texts(resources, "searchInclude") + texts(resources, "searchRevInclude")
            lost = [one for one in (*part.includes, *part.revincludes) if not {one, "*"} & set(includes)]
            yield Verdict("metadata-includes", not lost, where, ", ".join(lost))
