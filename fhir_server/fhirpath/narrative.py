"""Which XHTML a narrative may hold: txt-1 and txt-2.

txt-1: basic formatting elements and attributes of chapters 7-11 and 15 of HTML 4.0, ``<a>``, images and internally
contained stylesheets. txt-2: some non-whitespace content. Beyond the letter of R4: no DTD, no entity but XML's own
and those numbered, no ``javascript:`` or ``data:text`` links, so that showing a narrative is harmless.
Spec: https://hl7.org/fhir/R4/narrative.html#xhtml
"""

from __future__ import annotations

from typing import Final
from xml.parsers import expat

_XHTML: Final = "http://www.w3.org/1999/xhtml"

ELEMENTS: Final = frozenset(
    (  # noqa: SIM905 a list would take a line a name
        "a abbr acronym address area b bdo big blockquote br caption cite code col colgroup dd del dfn div dl dt em "
        "h1 h2 h3 h4 h5 h6 hr i img ins kbd li map ol p pre q s samp small span strike strong sub sup table tbody td "
        "tfoot th thead tr tt u ul var"
    ).split()
)
"""https://hl7.org/fhir/R4/narrative.html#rules"""

ATTRIBUTES: Final = frozenset(
    (  # noqa: SIM905 a list would take a line a name
        "abbr accesskey align alt axis bgcolor border bordercolor cellhalign cellpadding cellspacing cellvalign char "
        "charoff charset cite class colspan compact coords datetime dir frame headers height href hreflang hspace id "
        "lang longdesc name noshade nohref nowrap rel rev rowspan rules scope shape size span src start style summary "
        "tabindex target title type usemap valign value vspace width xml:lang xmlns xml:id"
    ).split()
)

_DANGEROUS: Final = ("javascript:", "vbscript:", "data:text", "data:application")
_LINKS: Final = ("href", "src", "cite", "longdesc")
_MAX_DEPTH: Final = 200


class _Forbidden(Exception):
    """The narrative breaks a rule."""


def is_safe_xhtml(text: str) -> bool:
    """Return whether a text is a ``div`` that a narrative may be: allowed, well-formed, not empty."""
    parser = expat.ParserCreate()
    checker = _Checker()
    parser.StartElementHandler = checker.start
    parser.EndElementHandler = checker.end
    parser.CharacterDataHandler = checker.characters
    parser.StartDoctypeDeclHandler = checker.forbid
    parser.ProcessingInstructionHandler = checker.forbid
    parser.EntityDeclHandler = checker.forbid
    try:
        parser.Parse(text.encode(), True)
    except (expat.ExpatError, _Forbidden, UnicodeEncodeError):
        return False
    return checker.has_content


class _Checker:
    """Sees the narrative go by."""

    def __init__(self) -> None:
        self.has_content = False
        self._depth = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self._depth == 0 and (name != "div" or attributes.get("xmlns") != _XHTML):
            raise _Forbidden
        self._depth += 1
        if name not in ELEMENTS or self._depth > _MAX_DEPTH:
            raise _Forbidden
        if name == "img":
            self.has_content = True
        for attribute, value in attributes.items():
            self._check_attribute(attribute, value)

    def end(self, name: str) -> None:
        self._depth -= 1

    def characters(self, text: str) -> None:
        if not text.isspace():
            self.has_content = True

    def forbid(self, *declaration: object) -> None:
        raise _Forbidden

    def _check_attribute(self, name: str, value: str) -> None:
        if name not in ATTRIBUTES and not (name == "xmlns" or name.startswith("xmlns:")):
            raise _Forbidden
        if name == "xmlns" and value != _XHTML:
            raise _Forbidden
        if name in _LINKS and "".join(value.split()).lower().startswith(_DANGEROUS):
            raise _Forbidden
