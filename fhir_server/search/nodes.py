"""From one criterion to a node: what each type of parameter means, with each modifier.

Spec: https://hl7.org/fhir/R4/search.html#ptypes, https://hl7.org/fhir/R4/search.html#modifiers
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Final, TypeVar

from fhir_server.definitions.parameters import SearchParameter
from fhir_server.definitions.registry import Registry
from fhir_server.model.primitives import ID
from fhir_server.model.reference import local
from fhir_server.model.text import fold
from fhir_server.search.bounds import compare
from fhir_server.search.criteria import OF_VALUE_SETS, Criterion, Kind
from fhir_server.search.extract import point
from fhir_server.search.leaves import Leaf, codes_of, is_instant, leaves
from fhir_server.search.logic import all_of, one_of
from fhir_server.search.query import (
    EVERYTHING,
    NOTHING,
    Bounds,
    EndsWith,
    Equal,
    Ids,
    Near,
    Node,
    Not,
    Present,
    Spans,
    StartsWith,
    TextContains,
    TextIs,
    TextStarts,
    Updated,
)
from fhir_server.search.query import UNIT_SEPARATOR as US
from fhir_server.search.values import (
    DateValue,
    MissingValue,
    NearValue,
    NumberValue,
    OfTypeValue,
    QuantityValue,
    ReferenceValue,
    StringValue,
    TokenValue,
    UriValue,
    ValueSetValue,
    date_range,
    without_boolean_system,
)

T = TypeVar("T")

_SYSTEMLESS: Final = frozenset(
    ("boolean", "id", "string", "markdown", "uri", "url", "canonical", "oid", "uuid", "integer", "positiveInt")
)
"""Types whose tokens have no system: code and ``|code`` are one value."""

_POINTS: Final = frozenset(("decimal", "integer", "positiveInt", "unsignedInt", "Money"))
"""Types of numbers that are one number."""


class Nodes:
    """Makes nodes under one registry's definitions."""

    def __init__(self, registry: Registry, zone: tzinfo, bases: Sequence[str], now: int) -> None:
        self.registry = registry
        self.zone = zone
        self.bases = tuple(bases)
        self.now = now
        self._known: dict[tuple[tuple[TokenValue, ...], frozenset[str]], Sequence[TokenValue]] = {}

    def criterion(self, criterion: Criterion, prefix: str = "") -> Node:
        """Return the node of a criterion; ``prefix`` stands before the code of what is contained."""
        code, modifier = prefix + criterion.parameter.code, criterion.modifier
        if modifier == "missing":
            return self._missing(criterion, code)
        if criterion.parameter.code == "_id":
            return self._id(criterion)
        if modifier in {"not", "not-in"}:
            return Not(self._token(criterion, code))
        make: dict[Kind, Callable[[Criterion, str], Node]] = {
            Kind.TOKEN: self._token,
            Kind.STRING: self._string,
            Kind.REFERENCE: self._reference,
            Kind.URI: self._uri,
            Kind.DATE: self._date,
            Kind.NUMBER: self._number,
            Kind.QUANTITY: self._quantity,
            Kind.SPECIAL: self._near,
        }
        return make[criterion.parameter.type](criterion, code)

    def _leaves(self, criterion: Criterion) -> tuple[Leaf, ...]:
        structures = self.registry.structures
        return tuple(leaf for type_ in criterion.types for leaf in leaves(criterion.parameter, type_, structures))

    def _missing(self, criterion: Criterion, code: str) -> Node:
        is_missing = _of(MissingValue, criterion)[0].is_missing
        if criterion.parameter.code in ("_id", "_lastUpdated"):
            return NOTHING if is_missing else EVERYTHING
        return Not(Present(code)) if is_missing else Present(code)

    def _id(self, criterion: Criterion) -> Node:
        node: Node = Ids(tuple(token.code for token in _of(TokenValue, criterion) if token.code))
        return Not(node) if criterion.modifier == "not" else node

    # --- token

    def _token(self, criterion: Criterion, code: str) -> Node:
        if criterion.modifier == "text":
            return TextStarts(f"{code}:text", tuple(fold(value.text) for value in _of(StringValue, criterion)))
        if criterion.modifier == "of-type":
            compared = self.registry.aliases.system
            wanted = (
                f"{compared(value.system)}{US}{value.code}{US}{value.value}" for value in _of(OfTypeValue, criterion)
            )
            return Equal(f"{code}:of-type", tuple(wanted))
        found, tokens = self._leaves(criterion), _of(TokenValue, criterion)
        if _of(ValueSetValue, criterion):
            raise ValueError("a search is planned before its value sets are expanded")
        if found and all(leaf.type == "boolean" for leaf in found):
            tokens = [without_boolean_system(token) for token in tokens]
        codes = codes_of(found, self.registry.structures)
        if codes is not None:
            return _equal(code, [value for token in tokens for value in _bound_values(token, codes)])
        if found and all(leaf.type in _SYSTEMLESS for leaf in found):
            return _equal(code, [f"{token.code or ''}{US}{_system(token)}" for token in tokens])
        if criterion.modifier in OF_VALUE_SETS and any(leaf.type == "code" for leaf in found):
            tokens += [TokenValue("", token.code) for token in tokens]  # no system is implied, and none is written
        return _coded(code, self._compared(tokens, frozenset(leaf.type for leaf in found)))

    def _compared(self, tokens: Sequence[TokenValue], types: frozenset[str]) -> Sequence[TokenValue]:
        """Return tokens in the form that the index has, where values of ``types`` are found; none: of any type.

        The end of a chain is planned for each place where it may stand, contained ones too: its values are those.
        """
        asked = (tuple(tokens), types)
        if asked not in self._known:
            self._known[asked] = self._forms(*asked)
        return self._known[asked]

    def _forms(self, tokens: Sequence[TokenValue], types: frozenset[str]) -> Sequence[TokenValue]:
        aliases = self.registry.aliases
        compared: list[TokenValue] = []
        for token in tokens:
            system, code = token
            if system:
                system = aliases.system(system)
            if system and code and "Identifier" in types:
                system, code = aliases.number(system, code)
            if code and "ContactPoint" in types:
                code = aliases.contact(code)
            elif code and not types:
                compared.append(TokenValue(system, aliases.contact(code)))
            compared.append(TokenValue(system, code))
        return tuple(dict.fromkeys(compared))

    # --- string

    def _string(self, criterion: Criterion, code: str) -> Node:
        texts = [value.text for value in _of(StringValue, criterion)]
        if criterion.modifier == "exact":
            return TextIs(code, tuple((fold(text), text) for text in texts))
        folded = tuple(dict.fromkeys(fold(text) for text in texts))
        return TextContains(code, folded) if criterion.modifier == "contains" else TextStarts(code, folded)

    # --- reference, uri

    def _reference(self, criterion: Criterion, code: str) -> Node:
        if criterion.modifier == "identifier":
            tokens = self._compared(_of(TokenValue, criterion), frozenset(("Identifier",)))
            return _coded(f"{code}:identifier", tokens)
        allowed = criterion.parameter.targets or self.registry.types
        if criterion.modifier:
            allowed = frozenset((criterion.modifier,))
        texts = [value.text for value in _of(ReferenceValue, criterion)]
        return _equal(code, [one for text in texts for one in self._reference_values(text, allowed)])

    def _reference_values(self, text: str, allowed: frozenset[str]) -> list[str]:
        """Return what an entry can be: an id alone may be of any type allowed."""
        ours = local(text, self.bases)
        if ours is not None:
            version = f"/_history/{ours.version}" if ours.version is not None else ""
            return [f"{ours.key}{version}"]
        if ID.fullmatch(text):
            return [f"{type_}/{text}" for type_ in sorted(allowed)]
        return [text]

    def _uri(self, criterion: Criterion, code: str) -> Node:
        uris = [value.uri for value in _of(UriValue, criterion)]
        if criterion.modifier == "below":
            paths = [uri if uri.endswith("/") else f"{uri}/" for uri in uris]
            return one_of((Equal(code, tuple(uris)), StartsWith(code, tuple(paths))))
        if criterion.modifier == "above":
            return _equal(code, [above for uri in uris for above in _ancestors(uri)])
        version = self._business_version(criterion)
        if version is None or not any("|" in uri for uri in uris):
            return _equal(code, uris)
        return one_of(self._versioned(criterion, code, version, uri) for uri in uris)

    def _business_version(self, criterion: Criterion) -> SearchParameter | None:
        """Return the parameter of the version that a canonical URL may name: ``url`` is that of the resource itself."""
        if criterion.parameter.code != "url":
            return None
        found = [self.registry.parameters(type_).get("version") for type_ in criterion.types]
        return found[0] if all(found) else None

    def _versioned(self, criterion: Criterion, code: str, version: SearchParameter, uri: str) -> Node:
        """``url|version`` is the resource of that canonical URL and business version."""
        url, bar, text = uri.partition("|")
        node = _equal(code, [url])
        if not bar:
            return node
        wanted = Criterion(criterion.types, version, None, (TokenValue(None, text),))
        return all_of((node, self.criterion(wanted, code.removesuffix("url"))))

    # --- date, number, quantity

    def _date(self, criterion: Criterion, code: str) -> Node:
        values = _of(DateValue, criterion)
        is_updated = criterion.parameter.code == "_lastUpdated"
        is_point = not is_updated and is_instant(self._leaves(criterion))
        bounds: list[Bounds] = []
        for value in values:
            low, high = date_range(value, self.zone, self.now)
            bounds.extend(compare(value.prefix, low, high, is_point))
        any_of = tuple(dict.fromkeys(bounds))
        return Updated(any_of) if is_updated else Spans(code, any_of, None, 1 if is_point else None)

    def _number(self, criterion: Criterion, code: str) -> Node:
        is_point = self._is_number_point(criterion)
        bounds = [one for value in _of(NumberValue, criterion) for one in _number_bounds(value, is_point)]
        return Spans(code, tuple(dict.fromkeys(bounds)))

    def _quantity(self, criterion: Criterion, code: str) -> Node:
        is_point = self._is_number_point(criterion)
        by_key: dict[str | None, list[Bounds]] = {}
        for value in _of(QuantityValue, criterion):
            key = None if value.code is None else f"{value.code}{US}{value.system or ''}"
            by_key.setdefault(key, []).extend(_number_bounds(value.number, is_point))
        return one_of(
            Spans(code, tuple(dict.fromkeys(bounds)), None if key is None else (key,)) for key, bounds in by_key.items()
        )

    def _is_number_point(self, criterion: Criterion) -> bool:
        """Return whether all values are points: a Range is none, nor is a quantity that has a comparator."""
        found = self._leaves(criterion)
        return bool(found) and all(leaf.type in _POINTS for leaf in found)

    # --- special

    def _near(self, criterion: Criterion, code: str) -> Node:
        return Near(code, tuple((value.latitude, value.longitude, value.metres) for value in _of(NearValue, criterion)))


def _of(type_: type[T], criterion: Criterion) -> list[T]:
    """Return the values of a criterion, which are all of one type."""
    return [value for value in criterion.values if isinstance(value, type_)]


def _equal(code: str, values: Sequence[str]) -> Node:
    return Equal(code, tuple(dict.fromkeys(values))) if values else NOTHING


def _bound_values(token: TokenValue, codes: Mapping[str, frozenset[str]]) -> list[str]:
    """Return what the entry of a code with an implied system can be; the element itself has no system, so ``|code``
    finds it too."""
    if token.code is None:
        return [f"{code}{US}{token.system}" for code, systems in codes.items() if token.system in systems]
    if token.system:
        return [f"{token.code}{US}{token.system}"]
    return [f"{token.code}{US}{system}" for system in sorted(codes.get(token.code, ("",)))]


def _system(token: TokenValue) -> str:
    return token.system or ""


def _coded(code: str, tokens: Sequence[TokenValue]) -> Node:
    """Return the node of tokens whose entries are ``code␟system``, whatever the system."""
    equal: list[str] = []
    starts: list[str] = []
    ends: list[str] = []
    for token in tokens:
        if token.code is None:
            ends.append(f"{US}{token.system}")
        elif token.system is None:
            starts.append(f"{token.code}{US}")
        else:
            equal.append(f"{token.code}{US}{token.system}")
    found: list[Node] = []
    if equal:
        found.append(Equal(code, tuple(equal)))
    if starts:
        found.append(StartsWith(code, tuple(starts)))
    if ends:
        found.append(EndsWith(code, tuple(ends)))
    return one_of(found)


def _number_bounds(value: NumberValue, is_point: bool) -> tuple[Bounds, ...]:
    """Return the bounds of a number: its precision counts for eq, ne and ap only."""
    low, high = (value.low, value.high) if value.prefix in ("eq", "ne", "ap") else point(value.number)
    return compare(value.prefix, low, high, is_point)


def _ancestors(uri: str) -> list[str]:
    """Return a URL and those above it, with and without a final slash."""
    scheme, mark, path = uri.partition("://")
    if not mark:
        return [uri]
    parts = path.rstrip("/").split("/")
    found = [uri]
    for length in range(len(parts), 0, -1):
        above = scheme + mark + "/".join(parts[:length])
        found += [above, f"{above}/"]
    return found
