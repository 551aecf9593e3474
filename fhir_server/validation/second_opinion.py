"""A second opinion: the models of fhir.resources, asked when our own checks find no error.

R4B is the version of the models nearest to R4, and equal to it for most types. Where they refuse what R4 allows,
or cannot tell, their word does not count: each such case stands here with its reason.
Spec: https://hl7.org/fhir/R4B/diff.html
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from pydantic import ValidationError

from fhir_server.definitions.structures import Structures
from fhir_server.outcome import Issue
from fhir_server.validation.kinds import KINDS

_LOG: Final = logging.getLogger(__name__)

UNLIKE_R4: Final = frozenset(
    (  # noqa: SIM905 a list would take a line a name
        "EffectEvidenceSynthesis Evidence EvidenceVariable MedicinalProduct MedicinalProductAuthorization "
        "MedicinalProductContraindication MedicinalProductIndication MedicinalProductIngredient "
        "MedicinalProductInteraction MedicinalProductManufactured MedicinalProductPackaged "
        "MedicinalProductPharmaceutical MedicinalProductUndesirableEffect RiskEvidenceSynthesis "
        "SubstanceNucleicAcid SubstancePolymer SubstanceProtein SubstanceReferenceInformation "
        "SubstanceSourceMaterial SubstanceSpecification"
    ).split()
)
"""Types that R4B dropped or made anew: the models are not asked about them."""

FALSE_ALARMS: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("uuid_version", ".*", "", "the models want version 4; R4 takes any UUID"),
    ("extra_forbidden", ".*Meta", "", "the models leave Meta out of the types of value[x], fixed[x], pattern[x] …"),
    ("extra_forbidden", "_value[A-Z].*", "", "the model of Extension does not let its value have extensions"),
    ("value_error", ".*", "Expect any of field value", "a mandatory choice may consist of an extension alone"),
)
"""Error type, pattern of the property's name, part of the message, and why the error is none."""

Validate = Callable[[dict[str, Any]], object]


class SecondOpinion:
    """Asks the model of a type, imported the first time the type is met."""

    def __init__(self, structures: Structures) -> None:
        self._structures = structures
        self._models: dict[str, Validate] = {}

    def issues(self, resource: dict[str, Any]) -> list[Issue]:
        """Return what the models have against a resource whose structure is right; never its values."""
        type_ = resource["resourceType"]
        if type_ in UNLIKE_R4:
            return []
        try:
            validate = self._models.get(type_)
            if validate is None:
                validate = self._models[type_] = _model(type_)
            validate(resource)
        except ValidationError as error:
            return list(self._told(resource, error))
        except Exception as error:  # a model that breaks has no opinion
            _LOG.warning("no second opinion on %s: %s in its model", type_, type(error).__name__)
            return []
        return []

    def _told(self, resource: dict[str, Any], error: ValidationError) -> Iterator[Issue]:
        for line in error.errors(include_url=False, include_context=False, include_input=False):
            path, types = self._path(resource, line["loc"])
            if not types & UNLIKE_R4 and not _is_false_alarm(line):
                told = f"{path}: the R4B models of fhir.resources refuse this value ({line['type']})"
                yield Issue(KINDS["second-opinion"].code, told, (path,), id="second-opinion")

    def _path(self, resource: dict[str, Any], loc: Sequence[int | str]) -> tuple[str, frozenset[str]]:
        """Return the FHIR path of a model's location, and the resource types on the way to it."""
        here: Any = resource
        path = context = resource["resourceType"]
        types = {context}
        for part in loc:
            try:
                here = here[part]
            except (LookupError, TypeError):
                here = None
            if isinstance(part, int):
                path += f"[{part}]"
            else:
                step, context = self._step(context, part)
                path += step
            if isinstance(here, dict) and isinstance(here.get("resourceType"), str):
                context = here["resourceType"]
                types.add(context)
        return path, frozenset(types)

    def _step(self, context: str, name: str) -> tuple[str, str]:
        """Return the step to a property, and the type or path under which its own properties stand."""
        plain = name.removeprefix("_")
        try:
            elements = self._structures.children(context).values()
        except KeyError:
            return "", context
        for element in elements:
            type_ = element.json_names().get(plain)
            if type_ is not None:
                stem = element.name.removesuffix("[x]")
                step = f".{stem}.ofType({type_})" if element.is_choice else f".{stem}"
                return step, (element.content or element.path) if element.is_backbone else type_
        return "", context


def _model(type_: str) -> Validate:
    module = import_module(f"fhir.resources.R4B.{type_.lower()}")
    validate: Validate = getattr(module, type_).model_validate
    return validate


def _is_false_alarm(line: Mapping[str, Any]) -> bool:
    name = str(line["loc"][-1]) if line["loc"] else ""
    return any(
        line["type"] == type_ and re.fullmatch(pattern, name) and text in line["msg"]
        for type_, pattern, text, _ in FALSE_ALARMS
    )
