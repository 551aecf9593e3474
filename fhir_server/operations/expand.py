"""ValueSet/$expand: the codes of a value set. https://hl7.org/fhir/R4/valueset-operation-expand.html"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.definitions.library import Library, split
from fhir_server.definitions.operations import Level, Operation, Parameter, of_r4
from fhir_server.interactions.context import Context
from fhir_server.interactions.exchange import Response
from fhir_server.interactions.library import consult
from fhir_server.interactions.pace import aside
from fhir_server.model.formats import Resource, serialize
from fhir_server.model.primitives import instant
from fhir_server.operations.call import Call, Values
from fhir_server.operations.resources import Named, named
from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.terminology.displays import display, languages
from fhir_server.terminology.expansion import Expander, Member, narrowed
from fhir_server.terminology.finding import Versions, demanded
from fhir_server.terminology.problems import too_costly
from fhir_server.terminology.spelling import meant, with_spellings

PAGE: Final = 10_000
"""Codes of one answer."""

_TYPE: Final = frozenset((Level.TYPE,))

EXPAND: Final[Operation] = of_r4(
    "ValueSet-expand",
    (Level.TYPE, Level.INSTANCE),
    (
        Parameter("url", "uri", levels=_TYPE),
        Parameter("valueSet", "ValueSet", levels=_TYPE),
        Parameter("valueSetVersion", "string", levels=_TYPE),
        Parameter("filter", "string"),
        Parameter("offset", "integer"),
        Parameter("count", "integer"),
        Parameter("includeDesignations", "boolean"),
        Parameter("designation", "string", max=None),
        Parameter("includeDefinition", "boolean"),
        Parameter("activeOnly", "boolean"),
        Parameter("excludeNested", "boolean"),
        Parameter("excludeNotForUI", "boolean"),
        Parameter("excludePostCoordinated", "boolean"),
        Parameter("displayLanguage", "code"),
        Parameter("exclude-system", "canonical", max=None),
        Parameter("system-version", "canonical", max=None),
        Parameter("check-system-version", "canonical", max=None),
        Parameter("force-system-version", "canonical", max=None),
    ),
)


async def expand(context: Context, call: Call) -> Response:
    """Return the value set with its expansion. Raises what the expansion cannot be made for."""
    values = call.values
    start, count = _whole(values, "offset"), _whole(values, "count")
    async with context.store.snapshot() as snapshot:
        value_set = await named(context, call, snapshot, "valueSet", "valueSetVersion")
        assert value_set is not None  # noqa: S101 - it is needed

        def work(library: Library) -> _Expansion:
            return _expanded(library, value_set, values, start or 0, count)

        spelled = with_spellings(work, context.registry.aliases.system)
        found = (await consult(context, snapshot, spelled, len(call.request.body))).answer
    body = await aside(len(found.members) * 100, _written, found, values, start, context.clock())
    return Response(200, {}, (body,))


@dataclass(frozen=True, slots=True)
class _Expansion:
    """A part of an expansion, and what is told of the whole."""

    value_set: Resource
    members: Sequence[Member]
    total: int
    used: Sequence[str]
    fragments: Sequence[str]


def _expanded(library: Library, value_set: Named, values: Values, start: int, count: int | None) -> _Expansion:
    expander = Expander(
        library, _versions(library, values), frozenset(split(one)[0] for one in values.all("exclude-system"))
    )
    resource = demanded(library, value_set, values.at("url")) if isinstance(value_set, str) else value_set
    members = narrowed(
        expander.of(value_set, asked=True) if isinstance(value_set, str) else expander.within(resource),
        values.text("filter"),
        is_active=values.flag("activeOnly"),
        is_selectable=values.flag("excludeNotForUI"),
    )
    if count is None and len(members) - start > PAGE:
        told = f"the expansion has {len(members)} codes, more than the {PAGE} of one answer"
        raise too_costly(f"{told}; ask for pages by offset and count")
    end = start + min(PAGE if count is None else count, PAGE)
    return _Expansion(resource, members[start:end], len(members), tuple(expander.used), tuple(expander.fragments))


def _versions(library: Library, values: Values) -> Versions:
    def of(name: str) -> dict[str, str]:
        said: dict[str, str] = {}
        for canonical in values.all(name):
            system, version = split(canonical)
            if version is None:
                told = f"{name} is written system|version"
                raise BadRequest(Issue(IssueType.VALUE, told, (values.at(name),), id="operation-parameter-value"))
            said[meant(library, system)] = version
        return said

    return Versions(of("system-version"), of("force-system-version"), of("check-system-version"))


def _whole(values: Values, name: str) -> int | None:
    number = values.integer(name)
    if number is not None and number < 0:
        told = f"{name} is 0 or more"
        raise BadRequest(Issue(IssueType.VALUE, told, (values.at(name),), id="operation-parameter-value"))
    return number


# --- the answer ------------------------------------------------------------------------------------------------------

_LEFT_OUT: Final = frozenset(("id", "meta", "text", "expansion"))


def _written(found: _Expansion, values: Values, start: int | None, now: int) -> bytes:
    """Return the ValueSet with its expansion; ``compose`` only where the definition is asked for."""
    left_out = _LEFT_OUT if values.flag("includeDefinition") else _LEFT_OUT | {"compose"}
    resource = {name: value for name, value in found.value_set.items() if name not in left_out}
    expansion: dict[str, Any] = {"timestamp": instant(now), "total": found.total}
    if start is not None or values.has("count"):
        expansion["offset"] = start or 0
    if told := list(_told(found, values)):
        expansion["parameter"] = told
    if found.members:
        wanted = languages(values.text("displayLanguage"))
        expansion["contains"] = [_contains(member, values, wanted) for member in found.members]
    return serialize({**resource, "expansion": expansion})


def _told(found: _Expansion, values: Values) -> Iterator[dict[str, Any]]:
    """Yield what the expansion depends on: parameters given, code systems used, and those that are not whole."""
    for one in values.given:
        if not isinstance(one.value, dict) and one.name not in {"url", "valueSetVersion"}:
            yield {"name": one.name, _VALUES[one.name]: one.value}
    for canonical in found.used:
        yield {"name": "used-codesystem", "valueUri": canonical}
    for canonical in found.fragments:
        yield {"name": "warning-fragment", "valueUri": canonical}


_TOLD_AS: Final = {"canonical": "uri"}
"""Types of parameters that an expansion tells as another, since it has no values of their own."""

_VALUES: Final[Mapping[str, str]] = {
    one.name: f"value{_TOLD_AS.get(one.type, one.type).capitalize()}" for one in EXPAND.parameters
}
"""Parameter → the element of ``expansion.parameter`` that tells its value."""


def _contains(member: Member, values: Values, wanted: Sequence[str]) -> dict[str, Any]:
    told: dict[str, Any] = {"system": member.system} if member.system else {}
    if member.is_abstract:
        told["abstract"] = True
    if member.is_inactive:
        told["inactive"] = True
    if member.version is not None:
        told["version"] = member.version
    told["code"] = member.code
    shown = display(member.display, member.language, member.designations, wanted)
    if shown is not None:
        told["display"] = shown
    asked = values.all("designation")
    if values.flag("includeDesignations") or asked:
        designations = [
            dict(one) for one in member.designations if not asked or any(_is_asked(one, it) for it in asked)
        ]
        if designations:
            told["designation"] = designations
    return told


def _is_asked(designation: Mapping[str, Any], token: str) -> bool:
    """Tell whether a designation is meant by a token ``system|code``: of its use, or of its language."""
    system, bar, code = token.partition("|")
    use = designation.get("use", {})
    if not bar:
        return token in {designation.get("language"), use.get("code")}
    if system == "urn:ietf:bcp:47":
        return designation.get("language") == code
    return (use.get("system"), use.get("code")) == (system, code)
