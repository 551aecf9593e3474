"""From the parameters of a URL or a form to a :class:`SearchRequest`, or to every reason why not.

Strict by default: what is unknown is refused by name, with the nearest that exists, and all problems are told at once.
Lenient handling leaves unknown parameters out and says so; a modifier or a value that is wrong is refused all the same.
Names are case-sensitive. Spec: https://hl7.org/fhir/R4/search.html, https://hl7.org/fhir/R4/search.html#errors
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from fhir_server.definitions.parameters import SearchParameter
from fhir_server.definitions.registry import Registry
from fhir_server.outcome import BadRequest, Issue, IssueType
from fhir_server.search.conditions import Conditions, understood
from fhir_server.search.criteria import (
    HARMLESS,
    LIMITS,
    REFUSED_PARAMETERS,
    RESULT_PARAMETERS,
    SUMMARIES,
    TOTALS,
    Criterion,
    Draft,
    Include,
    Kind,
    SearchLimits,
    SearchRequest,
    Sort,
)
from fhir_server.search.problems import Problem, bad_value, no_such, refused, too_many
from fhir_server.search.values import NearValue
from fhir_server.search.waiting import waiting

_ONCE: Final = ("_count", "_total", "_summary", "_format", "_pretty", "_type")


def parse_search(
    registry: Registry,
    types: Sequence[str],
    pairs: Iterable[tuple[str, str]],
    strict: bool = True,
    limits: SearchLimits = LIMITS,
    refuse_unknown_codes: bool = True,
) -> SearchRequest:
    """Return what the decoded (name, value) pairs ask for, on one type or on several (system, compartment).

    Several types share only the parameters that all of them have, and take ``_type``. ``refuse_unknown_codes``: a
    code outside a required binding is 400 listing the codes; otherwise it finds nothing, and ``ignored`` tells.
    Raises ``BadRequest`` with one issue for each problem; under lenient handling those of unknown parameters are in
    ``ignored`` instead.
    """
    reader = _Reader(registry, tuple(types), limits, refuse_unknown_codes)
    pairs = list(pairs)
    problems: list[Problem] = []
    if len(pairs) > limits.parameters:
        raise BadRequest(too_many("http", "parameters", len(pairs), limits.parameters).issue)
    reader.narrow(pairs, problems)
    for name, value in pairs:
        try:
            reader.read(name, value)
        except Problem as problem:
            problems.append(problem)
    try:
        reader.check()
    except Problem as problem:
        problems.append(problem)
    ignored = [] if strict else [problem.issue for problem in problems if problem.is_unknown]
    errors = [problem.issue for problem in problems if strict or not problem.is_unknown]
    if errors:
        raise BadRequest(*errors)
    request = reader.request((*ignored, *dict.fromkeys(reader.conditions.warnings)))
    if waits := waiting(request, registry):
        raise BadRequest(*waits)
    return request


class _Reader:
    """Reads one parameter after the other into a draft."""

    def __init__(self, registry: Registry, types: tuple[str, ...], limits: SearchLimits, refuse_codes: bool) -> None:
        self.registry = registry
        self.types = types
        self.limits = limits
        self.takes_type = len(types) > 1
        self.draft = Draft()
        self.conditions = Conditions(registry, limits, refuse_codes)

    # --- dispatch

    def narrow(self, pairs: Iterable[tuple[str, str]], problems: list[Problem]) -> None:
        """Take ``_type`` first: it decides which other parameters there are."""
        given = [value for name, value in pairs if name == "_type"]
        if not given or not self.takes_type:
            return
        chosen: list[str] = []
        for type_ in given[0].split(","):
            if type_ in self.types:
                chosen.append(type_)
            else:
                problems.append(no_such("_type", "resource type", type_, self.types, is_unknown=False))
        if chosen:
            self.types = tuple(dict.fromkeys(chosen))

    def read(self, name: str, value: str) -> None:
        if not name:
            raise Problem(Issue(IssueType.INVALID, "a parameter without a name", ("http",), id="search-parameter"))
        if name in HARMLESS:
            return
        base, _, modifier = name.partition(":")
        if base in _ONCE and (base != "_type" or self.takes_type):
            self._once(base, modifier, value)
        elif base in ("_include", "_revinclude"):
            self._include(base, modifier, value)
        elif base in ("_sort", "_elements"):
            self._list(base, modifier, value)
        elif base in REFUSED_PARAMETERS:
            raise refused(base, f"the parameter {base}", REFUSED_PARAMETERS[base], is_unknown=True)
        else:
            condition = self.conditions.read(self.types, name, value, also=(*RESULT_PARAMETERS, *self._extra()))
            self.draft.criteria.append(condition)
            value = understood(condition, value)
        self.draft.understood.append((name, value))

    def _extra(self) -> tuple[str, ...]:
        return ("_type",) if self.takes_type else ()

    def check(self) -> None:
        """Raise what only the whole tells: bounds on numbers of things, and a sort by a distance from nowhere."""
        includes = len(self.draft.includes) + len(self.draft.revincludes)
        if includes > self.limits.includes:
            raise too_many("_include", "_include and _revinclude", includes, self.limits.includes)
        if includes and self.draft.single.get("_summary") == "text":
            # https://hl7.org/fhir/R4/search.html#summary
            raise bad_value("_summary", "_summary=text cannot stand with _include or _revinclude")
        if len(self.draft.sort) > self.limits.sorts:
            raise too_many("_sort", "keys of _sort", len(self.draft.sort), self.limits.sorts)
        for sort in self.draft.sort:
            if sort.parameter.type is Kind.SPECIAL and len(set(self._places(sort.parameter))) != 1:
                code = sort.parameter.code
                raise bad_value("_sort", f"sorting by {code} needs {code}=… as well, and of one place only")

    def _places(self, parameter: SearchParameter) -> Iterator[tuple[float, float]]:
        """Yield latitude and longitude of each place that a criterion of the parameter names."""
        for condition in self.draft.criteria:
            if isinstance(condition, Criterion) and condition.parameter == parameter:
                yield from ((one.latitude, one.longitude) for one in condition.values if isinstance(one, NearValue))

    def request(self, ignored: tuple[Issue, ...]) -> SearchRequest:
        draft, single = self.draft, self.draft.single
        return SearchRequest(
            types=self.types,
            criteria=tuple(draft.criteria),
            sort=tuple(draft.sort),
            count=int(single["_count"]) if "_count" in single else None,
            includes=tuple(draft.includes),
            revincludes=tuple(draft.revincludes),
            total=single.get("_total"),
            summary=single.get("_summary"),
            elements=tuple(dict.fromkeys(draft.elements)),
            understood=tuple(draft.understood),
            ignored=ignored,
        )

    # --- search result parameters

    def _once(self, name: str, modifier: str, value: str) -> None:
        if modifier:
            raise refused(name, f"the modifier :{modifier} of {name}", f"{name} has no modifiers")
        if name in self.draft.single:
            raise bad_value(name, f"{name} stands once")
        if name == "_count" and not (value.isascii() and value.isdigit() and len(value) <= 9):
            raise bad_value(name, "_count takes a whole number, 0 or more")
        allowed = {"_total": TOTALS, "_summary": SUMMARIES, "_pretty": ("true", "false")}.get(name)
        if allowed and value not in allowed:
            raise bad_value(name, f"{name} takes one of {', '.join(allowed)}")
        self.draft.single[name] = value

    def _list(self, name: str, modifier: str, value: str) -> None:
        if modifier:
            raise refused(name, f"the modifier :{modifier} of {name}", f"{name} has no modifiers")
        items = value.split(",")
        if len(items) > self.limits.values:
            raise too_many(name, f"values of {name}", len(items), self.limits.values)
        if name == "_sort":
            self.draft.sort += [self._sort(item) for item in items]
        else:
            self.draft.elements += [self._element(item) for item in items]

    def _sort(self, item: str) -> Sort:
        code = item.removeprefix("-")
        if code in REFUSED_PARAMETERS:
            raise refused("_sort", f"_sort by {code}", REFUSED_PARAMETERS[code], is_unknown=True)
        parameters = self.conditions.parameters(self.types)
        parameter = parameters.get(code)
        if parameter is None:
            raise no_such("_sort", "search parameter", code, parameters, is_unknown=True)
        if parameter.type is Kind.COMPOSITE:
            raise refused("_sort", f"_sort by {code}", "a composite has no order")
        return Sort(parameter, item.startswith("-"))

    def _element(self, item: str) -> str:
        names = {name.removesuffix("[x]") for type_ in self.types for name in self.registry.structures.children(type_)}
        if item in names or item == "resourceType":
            return item
        for type_ in self.types:  # a choice by its JSON name: deceasedBoolean
            for element in self.registry.structures.children(type_).values():
                if element.is_choice and item in element.json_names():
                    return element.name.removesuffix("[x]")
        raise no_such("_elements", "element", item, names, is_unknown=False)

    # --- _include, _revinclude

    def _include(self, name: str, modifier: str, value: str) -> None:
        if modifier not in ("", "iterate", "recurse"):
            raise refused(name, f"the modifier :{modifier} of {name}", "it has the modifier :iterate")
        is_iterate = bool(modifier)
        kept = self.draft.includes if name == "_include" else self.draft.revincludes
        if value == "*":
            kept.append(Include(None, None, None, is_iterate))
            return
        type_, _, rest = value.partition(":")
        code, _, target = rest.partition(":")
        if not type_ or not code or (target == "" and rest.endswith(":")):
            raise bad_value(name, f"{name} takes Type:parameter, Type:parameter:Target, Type:* or *")
        if type_ not in self.registry.types:
            raise no_such(name, "resource type", type_, self.registry.types, is_unknown=True)
        if target and target not in self.registry.types:
            raise no_such(name, "resource type", target, self.registry.types, is_unknown=True)
        if code == "*":
            kept.append(Include(type_, None, target or None, is_iterate))
            return
        parameters = self.registry.parameters(type_)
        parameter = parameters.get(code)
        if parameter is None or parameter.type is not Kind.REFERENCE:
            references = [known for known, one in parameters.items() if one.type is Kind.REFERENCE]
            raise no_such(name, f"reference parameter of {type_}", code, references, is_unknown=True)
        targets = parameter.targets
        if target and targets and target not in targets:
            raise no_such(name, f"target of {type_}:{code}", target, targets, is_unknown=False)
        kept.append(Include(type_, code, target or None, is_iterate))
