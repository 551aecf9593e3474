"""Resources in memory, found by what the index says of them: those that a transaction writes, and where they lead.

Each has its entries only when they are asked for; a type's identifiers are known without. What is found in the buckets
may match; what is not there does not.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any, Final, TypeAlias

from fhir_server.definitions.aliases import Aliases
from fhir_server.definitions.registry import Registry
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.tools import Tools
from fhir_server.model.formats import Resource
from fhir_server.model.reference import Key, references
from fhir_server.outcome import FhirError
from fhir_server.search.extract import numbers_of
from fhir_server.search.query import RECORD_SEPARATOR as RS
from fhir_server.search.query import UNIT_SEPARATOR as US
from fhir_server.search.query import Equal, Equality, Ids, IndexEntry, Keys, Node, Span, Spans, StartsWith

CONDITIONAL: Final = re.compile(r"(?P<type>[A-Z][A-Za-z]+)\?(?P<query>.+)", re.DOTALL)
"""A conditional reference."""
RELATIVE: Final = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")

_RESTFUL: Final = re.compile(rf"(?P<root>https?://.*/){RELATIVE.pattern}", re.DOTALL)
_MANY_KEYS: Final = 1_000

Bucket: TypeAlias = Collection[Key]


@dataclass(slots=True)
class Known:
    """One resource."""

    key: Key
    resource: Resource | None = None
    """What is written; None: it is stored and stays as it is."""
    root: str | None = None
    """The server that the entry's fullUrl says it comes from."""
    is_new: bool = False
    """Nothing stored can refer to it."""
    entries: tuple[IndexEntry, ...] | None = None
    conditional: frozenset[str] = frozenset()
    """Its conditional references."""


@dataclass(slots=True)
class Names:
    """What the texts of references lead to, as far as it is known."""

    found: dict[str, Key] = field(default_factory=dict)
    """What each fullUrl has become."""
    expected: dict[str, str] = field(default_factory=dict)
    """fullUrl → type, of entries that are not resolved yet."""
    answers: dict[str, Key | FhirError] = field(default_factory=dict)
    """What conditional references have become."""

    def lead(self, text: str, known: Known) -> tuple[str, bool]:
        """Return what a reference of a resource leads to (the text itself, if it names nothing here), and whether that
        is final."""
        if known.root is not None and RELATIVE.fullmatch(text):
            absolute = f"{known.root}{text}"
            text = absolute if absolute in self.found or absolute in self.expected else text
        answer = self.found.get(text) or self.answers.get(text)
        if isinstance(answer, Key):
            return str(answer), True
        return text, text not in self.expected and (text not in known.conditional or text in self.answers)


@dataclass(slots=True)
class KnownResources:
    """Resources by type and by what they are found by."""

    tools: Tools
    names: Names
    all: dict[Key, Known] = field(default_factory=dict)
    by_type: defaultdict[str, list[Known]] = field(default_factory=lambda: defaultdict(list))
    waiting: defaultdict[str, dict[Key, None]] = field(default_factory=lambda: defaultdict(dict))
    """Texts of references that lead nowhere yet → who has them."""
    log: defaultdict[str, list[Known]] = field(default_factory=lambda: defaultdict(list))
    """Those of a type that have got entries, each time that they have."""
    _buckets: defaultdict[tuple[str, str, str], dict[Key, None]] = field(default_factory=lambda: defaultdict(dict))
    """Type, parameter and value → those that may have it."""
    _identified: set[str] = field(default_factory=set)
    """Types whose identifiers are in the buckets."""
    _indexed: set[str] = field(default_factory=set)
    """Types of which everything is in the buckets."""

    def add(self, known: Known) -> None:
        """Take in a resource."""
        self.all[known.key] = known
        self.by_type[known.key.type].append(known)
        if known.entries is not None:
            self.log[known.key.type].append(known)
        if known.key.type in self._identified:
            self._put_identifiers(known)
        if known.key.type in self._indexed:
            self._put(known)

    async def identify(self, type_: str) -> None:
        """Have a type's identifiers in the buckets: that is all that most criteria ask for, and costs little."""
        if type_ not in self._identified and _is_plain(self.tools.registry, type_):
            self._identified.add(type_)
            await _each(self.by_type[type_], self._put_identifiers)

    async def index(self, type_: str) -> None:
        """Have all that a type's resources are found by in the buckets."""
        if type_ not in self._indexed:
            self._indexed.add(type_)
            await _each(self.by_type[type_], self._put)

    def is_indexed(self, type_: str) -> bool:
        """Tell whether all that a type's resources are found by is in the buckets."""
        return type_ in self._indexed

    def version(self, type_: str) -> int:
        """Return a number that grows with each change of a type's resources."""
        return len(self.log[type_]) + len(self.by_type[type_])

    def having(self, type_: str, parameter: str, values: Iterable[str]) -> Sequence[Bucket] | None:
        """Return those of a type that may have one of the values; None if it is not indexed so far."""
        if type_ in self._indexed or (parameter == "identifier" and type_ in self._identified):
            found = (self._buckets.get((type_, parameter, value)) for value in values)
            return [bucket for bucket in found if bucket]
        return None

    def matching(self, type_: str, node: Node) -> Sequence[Bucket] | None:
        """Return those of a type that may match a node that is no combination; None: all of them."""
        if isinstance(node, Ids):
            return [[key for id_ in node.ids if (key := Key(type_, id_)) in self.all]]
        place = _place(node)
        return None if place is None else self.having(type_, *place)

    def entries(self, known: Known) -> tuple[IndexEntry, ...]:
        """Return what a resource is found by, references among it resolved as far as they are."""
        if known.entries is None:
            try:
                found = self.tools.indexer.entries(known.resource or {})
                known.conditional = frozenset(
                    text for one in references(known.resource) if CONDITIONAL.fullmatch(text := one["reference"])
                )
            except Exception:  # it is no valid resource, and is refused when its draft is made
                found = ()
            known.entries = tuple(self._resolved(entry, known) for entry in found)
            self.log[known.key.type].append(known)
        return known.entries

    def settle(self, text: str) -> None:
        """Give those who refer by a text what it leads to now."""
        for key in self.waiting.pop(text, ()):
            known = self.all[key]
            known.entries = tuple(self._resolved(entry, known) for entry in known.entries or ())
            self.log[key.type].append(known)
            if key.type in self._indexed:
                self._put(known)

    def _put_identifiers(self, known: Known) -> None:
        given = known.resource
        aliases = self.tools.registry.aliases
        for value in _identifiers(given, aliases) if given is not None else equalities(known.entries, "identifier"):
            for place in (value, f"{value.partition(US)[0]}{US}"):
                self._buckets[known.key.type, "identifier", place][known.key] = None

    def _put(self, known: Known) -> None:
        type_, key = known.key.type, known.key
        for entry in self.entries(known):
            if isinstance(entry, Equality):
                self._buckets[type_, entry.parameter, entry.value][key] = None
                if US in entry.value:
                    self._buckets[type_, entry.parameter, f"{entry.value.partition(US)[0]}{US}"][key] = None
            elif isinstance(entry, Span) and entry.key:
                self._buckets[type_, entry.parameter, entry.key][key] = None

    def _resolved(self, entry: IndexEntry, known: Known) -> IndexEntry:
        if isinstance(entry, Equality):
            return entry if US in entry.value else entry._replace(value=self._text(entry.value, known))
        if isinstance(entry, Span) and RS in entry.key:
            return entry._replace(key=RS.join(self._text(part, known) for part in entry.key.split(RS)))
        return entry

    def _text(self, text: str, known: Known) -> str:
        found, is_final = self.names.lead(text, known)
        if not is_final:
            self.waiting[found][known.key] = None
        return found


def root_of(full_url: str | None) -> str | None:
    """Return the base URL of the server that a RESTful fullUrl comes from, with its slash."""
    match = _RESTFUL.fullmatch(full_url or "")
    return match["root"] if match else None


def equalities(entries: Iterable[IndexEntry] | None, parameter: str) -> Iterator[str]:
    """Yield the values of a parameter."""
    for entry in entries or ():
        if isinstance(entry, Equality) and entry.parameter == parameter:
            yield entry.value


def names_resources(node: Node) -> bool:
    """Tell whether a node that is no combination asks for references to resources that it names."""
    match node:
        case Equal(_, tuple() as values):
            return any(RELATIVE.fullmatch(value) for value in values)
        case Spans(_, _, Keys(parts)):
            return any(RELATIVE.fullmatch(value) for part in parts if isinstance(part, tuple) for value in part)
    return False


async def _each(known: Sequence[Known], do: Callable[[Known], None]) -> None:
    pace = Pace()
    for one in known:
        do(one)
        await pace.keep()


def _place(node: Node) -> tuple[str, Iterable[str]] | None:
    """Return the parameter and the values under which all that match are kept; None: they may be anywhere."""
    match node:
        case Equal(parameter, tuple() as values):
            return parameter, values
        case StartsWith(parameter, prefixes) if all(text.find(US) == len(text) - 1 for text in prefixes):
            return parameter, prefixes
        case Spans(parameter, _, Keys(parts)):
            plain = [part for part in parts if isinstance(part, tuple)]
            if len(plain) == len(parts) and prod(map(len, plain)) <= _MANY_KEYS:
                return parameter, map(RS.join, product(*plain))
        case Spans(parameter, _, tuple() as keys):
            return parameter, keys
    return None


def _is_plain(registry: Registry, type_: str) -> bool:
    """Tell whether ``identifier`` is just the element of that name."""
    parameter = registry.parameters(type_).get("identifier")
    paths = [] if parameter is None else [path.strip() for path in parameter.expression.split("|")]
    return [path for path in paths if path.startswith(f"{type_}.")] == [f"{type_}.identifier"]


def _identifiers(resource: Resource, aliases: Aliases) -> Iterator[str]:
    """Yield what ``identifier`` has for values, as the index writes them."""
    found: Any = resource.get("identifier")
    for one in found if isinstance(found, list) else (found,):
        if isinstance(one, dict) and all(isinstance(one.get(name, ""), str) for name in ("system", "value")):
            yield from numbers_of(one, aliases)
