"""From tokens to a syntax tree, by recursive descent.

The grammar, loosest binding first; each level is left-associative:

    expression     = or-expression { "implies" or-expression }
    or-expression  = and-expression { ("or" | "xor") and-expression }
    and-expression = membership { "and" membership }
    membership     = equality { ("in" | "contains") equality }
    equality       = inequality { ("=" | "!=") inequality }
    inequality     = union { ("<" | "<=" | ">" | ">=") union }
    union          = typed { "|" typed }
    typed          = additive { ("is" | "as") type }
    additive       = multiplicative { ("+" | "-" | "&") multiplicative }
    multiplicative = unary { "*" unary }
    unary          = ("+" | "-") unary | invocation
    invocation     = term { "." member | "[" expression "]" }
    term           = literal | "$this" | variable | member | "(" expression ")" | "{" "}"
    member         = name [ "(" [ expression { "," expression } ] ")" ]
    type           = [ ("FHIR" | "System") "." ] name

Left out of FHIRPath: ``~``, ``!~``, ``/``, ``div``, ``mod``, quantity literals, ``$index``, ``$total``.
Spec: http://hl7.org/fhirpath/N1/grammar.html
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from fhir_server.fhirpath.item import ExpressionError
from fhir_server.fhirpath.lexer import Token, tokenize
from fhir_server.fhirpath.syntax import Binary, Call, Index, Literal, Member, Node, This, TypeOperation, Unary, Variable

MAX_DEPTH: Final = 64
"""Levels of a syntax tree: keeps parsing, compiling and evaluating within Python's stack."""

_LEVELS: Final = (
    ("implies",),
    ("or", "xor"),
    ("and",),
    ("in", "contains"),
    ("=", "!="),
    ("<", "<=", ">", ">="),
    ("|",),
    ("is", "as"),
    ("+", "-", "&"),
    ("*",),
)
_TYPES: Final = _LEVELS.index(("is", "as"))
_WORDS: Final = frozenset(("implies", "or", "xor", "and", "in", "contains", "is", "as"))
_NAMES_AT_START: Final = frozenset(("as", "is", "contains", "in"))
_RESERVED: Final = _WORDS - _NAMES_AT_START | {"div", "mod"}


def parse(expression: str) -> Node:
    """Return the syntax tree of an expression. Raises ``ExpressionError``, never anything else."""
    parser = _Parser(tokenize(expression))
    node = parser.parse_level(0)
    if parser.token.kind != "end":
        raise parser.failure("the end of the expression")
    return node


def type_name(node: Node) -> str:
    """Return the type that an argument of ``as()``, ``is()`` or ``ofType()`` names. Raises ``ExpressionError``."""
    match node:
        case Member(None, name) | Member(Member(None, "FHIR" | "System"), name):
            return name
    raise ExpressionError("expected the name of a type")


class _Parser:
    """A cursor over tokens. ``depth`` of every node is kept, so that no tree grows deeper than ``MAX_DEPTH``."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._nesting = 0
        self._depths: dict[int, int] = {}
        self._made: list[Node] = []

    @property
    def token(self) -> Token:
        return self._tokens[self._at]

    def failure(self, expected: str) -> ExpressionError:
        found = self.token.text or "the end"
        return ExpressionError(f"expected {expected} at {self.token.position}, found {found!r}")

    def parse_level(self, level: int) -> Node:
        """Parse the binary operators of a level and of all that bind tighter."""
        if level == len(_LEVELS):
            return self._unary()
        node = self.parse_level(level + 1)
        while (operator := self._operator(level)) is not None:
            self._at += 1
            if level == _TYPES:
                node = self._sized(TypeOperation(operator, node, self._type()), node)
            else:
                right = self.parse_level(level + 1)
                node = self._sized(Binary(operator, node, right), node, right)
        return node

    def _operator(self, level: int) -> str | None:
        kind, text, _ = self.token
        if text in _LEVELS[level] and kind == ("identifier" if text in _WORDS else "symbol"):
            return text
        return None

    def _unary(self) -> Node:
        signs: list[str] = []
        while self.token.kind == "symbol" and self.token.text in ("+", "-"):
            signs.append(self.token.text)
            self._at += 1
        node = self._invocation()
        for sign in reversed(signs):
            node = self._sized(Unary(sign, node), node)
        return node

    def _invocation(self) -> Node:
        node = self._term()
        while True:
            if self._take("."):
                node = self._member(node)
            elif self._take("["):
                position = self._nested()
                self._expect("]")
                node = self._sized(Index(node, position), node, position)
            else:
                return node

    def _term(self) -> Node:
        kind, text, _ = self.token
        if self._take("("):
            node = self._nested()
            self._expect(")")
            return node
        if self._take("{"):
            self._expect("}")
            return Literal(None, "Element")
        constant = _constant(kind, text)
        if constant is not None:
            self._at += 1
            return constant
        if kind == "delimited" or (kind == "identifier" and text not in _RESERVED):
            return self._member(None)
        raise self.failure("a value, a name or a parenthesis")

    def _member(self, source: Node | None) -> Node:
        kind, name, _ = self.token
        if kind not in ("identifier", "delimited"):
            raise self.failure("a name")
        self._at += 1
        above = () if source is None else (source,)
        if not self._take("("):
            return self._sized(Member(source, name), *above)
        arguments: list[Node] = []
        if not self._take(")"):
            arguments.append(self._nested())
            while self._take(","):
                arguments.append(self._nested())
            self._expect(")")
        return self._sized(Call(source, name, tuple(arguments)), *above, *arguments)

    def _type(self) -> str:
        name = self._name()
        return self._name() if name in ("FHIR", "System") and self._take(".") else name

    def _name(self) -> str:
        kind, name, _ = self.token
        if kind not in ("identifier", "delimited"):
            raise self.failure("the name of a type")
        self._at += 1
        return name

    def _nested(self) -> Node:
        """Parse a whole expression inside brackets."""
        self._nesting += 1
        if self._nesting > MAX_DEPTH // 4:
            raise ExpressionError(f"brackets nested deeper than {MAX_DEPTH // 4} at {self.token.position}")
        node = self.parse_level(0)
        self._nesting -= 1
        return node

    def _take(self, symbol: str) -> bool:
        if self.token.kind == "symbol" and self.token.text == symbol:
            self._at += 1
            return True
        return False

    def _expect(self, symbol: str) -> None:
        if not self._take(symbol):
            raise self.failure(repr(symbol))

    def _sized(self, node: Node, *parts: Node) -> Node:
        """Keep the depth of a node that was just made from ``parts``."""
        depth = 1 + max((self._depths.get(id(part), 1) for part in parts), default=0)
        if depth > MAX_DEPTH:
            raise ExpressionError(f"expression deeper than {MAX_DEPTH} levels at {self.token.position}")
        self._depths[id(node)] = depth
        self._made.append(node)  # alive, so that no later node has its id
        return node


def _constant(kind: str, text: str) -> Node | None:
    """Return what a single token means, None if it begins something longer or nothing."""
    node: Node | None = None
    match kind:
        case "string":
            node = Literal(text, "string")
        case "number":
            node = Literal(Decimal(text), "decimal") if "." in text else Literal(int(text), "integer")
        case "datetime":
            node = Literal(text[1:].rstrip("T"), "dateTime" if "T" in text else "date")
        case "time":
            node = Literal(text[2:], "time")
        case "variable":
            node = Variable(text)
        case "identifier" if text in ("true", "false"):
            node = Literal(text == "true", "boolean")
        case "dollar" if text == "$this":
            node = This()
    return node
