"""From the text of an expression to tokens.

Spec: http://hl7.org/fhirpath/N1/#lexical-elements
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from fhir_server.fhirpath.item import ExpressionError

MAX_LENGTH: Final = 20_000
"""Characters of an expression; the longest of R4 has under 1,000."""

_TOKEN: Final = re.compile(
    r"""(?P<space>(?:\s|//[^\n]*|/\*(?s:.*?)\*/)+)
    |(?P<datetime>@[0-9]{4}(?:-[0-9]{2}){0,2}(?:T(?:[0-9]{2}(?::[0-9]{2}){0,2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})?)?)?)
    |(?P<time>@T[0-9]{2}(?::[0-9]{2}){0,2}(?:\.[0-9]+)?)
    |(?P<number>[0-9]{1,28}(?:\.[0-9]{1,28})?(?![0-9]))
    |(?P<identifier>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<delimited>`(?:[^`\\]|\\.)*`)
    |(?P<string>'(?:[^'\\]|\\.)*')
    |(?P<variable>%(?:[A-Za-z_][A-Za-z0-9_]*|`[^`]*`|'[^']*'|"[^"]*"))
    |(?P<dollar>\$[a-z]+)
    |(?P<symbol><=|>=|!=|!~|[-+*/|&=~<>.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPES: Final = {"f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LITERAL_ESCAPES: Final = "'\"`\\/"


class Token(NamedTuple):
    """A token: its kind, its text without quotes, its position in the expression."""

    kind: str
    text: str
    position: int


def tokenize(expression: str) -> list[Token]:
    """Return the tokens of an expression, with an ``end`` token last. Raises ``ExpressionError``."""
    if len(expression) > MAX_LENGTH:
        raise ExpressionError(f"expression of {len(expression)} characters, at most {MAX_LENGTH} are read")
    tokens: list[Token] = []
    position = 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None:
            raise ExpressionError(f"unexpected character {expression[position]!r} at {position}")
        kind = match.lastgroup or ""
        if kind != "space":
            tokens.append(Token(kind, _text(kind, match.group(), position), position))
        position = match.end()
    tokens.append(Token("end", "", position))
    return tokens


def _text(kind: str, raw: str, position: int) -> str:
    if kind in ("string", "delimited"):
        return _ESCAPE.sub(lambda match: _unescape(match[1], position), raw[1:-1])
    if kind == "variable":
        return raw[2:-1] if raw[1] in "'`\"" else raw[1:]
    return raw


def _unescape(escape: str, position: int) -> str:
    if len(escape) == 5:
        return chr(int(escape[1:], 16))
    if escape in _ESCAPES:
        return _ESCAPES[escape]
    if escape in _LITERAL_ESCAPES:
        return escape
    raise ExpressionError(f"unknown escape \\{escape} in the text at {position}")
