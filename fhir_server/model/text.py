"""Text as searches compare it. https://hl7.org/fhir/R4/search.html#string"""

from __future__ import annotations

import unicodedata
from typing import Final

_LETTERS: Final = str.maketrans(
    {"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ħ": "h"}
)
_PUNCTUATION: Final = "-'\"’‘ʼ`´“”«»‹›‐‑‒–—―.,;:!?()[]{}…·¡¿"
_BLANKS: Final = str.maketrans(dict.fromkeys(_PUNCTUATION, " "))


def fold(text: str) -> str:
    """Return text as string searches compare it: without case, accents, ligatures, punctuation or repeated blanks.

    Punctuation that joins or parts words (hyphens, apostrophes, quotes, brackets, stops) counts as a blank:
    "Saint-Martin" and "saint martin" are equal, "L'Isle" and "l isle" too. Signs that carry meaning
    (``% & + = * $ | / @ # _ < > ~ ^ \\``) stay: a search for ``%`` finds ``%``. A text of nothing but punctuation or
    accents stays as it is, so that it never folds to the empty text, which everything starts with.
    Spec: https://hl7.org/fhir/R4/search.html#string
    """
    folded = text.lower() if text.isascii() else _without_accents(text)
    return " ".join(folded.translate(_BLANKS).split()) or " ".join(folded.split()) or folded or text


def _without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in decomposed if unicodedata.category(letter) != "Mn")
    return plain.casefold().translate(_LETTERS)
