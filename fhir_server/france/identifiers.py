"""French national identifiers: one row per kind, with its systems, its pattern and its check digit.

A wrong pattern is an error (``parse`` raises); a wrong check digit is only told (``check`` answers False), for
the guides' own examples break it. Values are compared without their spaces and stored as they were sent.

Sources: the SAS, FR Core and Annuaire Santé guides of the ANS and Interop'Santé; the NIR key is INSEE's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

IDNPS_SYSTEM = "urn:oid:1.2.250.1.71.4.2.1"
IDNST_SYSTEM = "urn:oid:1.2.250.1.71.4.2.2"
RPPS_SYSTEM = "https://rpps.esante.gouv.fr"
FINESS_SYSTEM = "https://finess.esante.gouv.fr"
SIRENE_SYSTEM = "https://sirene.fr"

LA_POSTE = "356000000"
"""The SIREN of La Poste, whose establishments are numbered outside Luhn's rule."""

Checker = Callable[[str], bool | None]


def luhn_digit(digits: str) -> str:
    """Return the digit that, put after ``digits``, makes the number pass Luhn's check."""
    total = 0
    for rank, char in enumerate(reversed(digits)):
        value = int(char) * (1 if rank % 2 else 2)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def nir_key(number: str) -> str:
    """Return the two-digit key of the 13 first characters of a NIR, Corsica (``2A``, ``2B``) included."""
    department = {"2A": "19", "2B": "18"}.get(number[5:7].upper(), number[5:7])
    return f"{97 - int(number[:5] + department + number[7:13]) % 97:02d}"


def _luhn(value: str) -> bool | None:
    """Check Luhn's digit; None where a letter (Corsica) leaves no published rule."""
    return luhn_digit(value[:-1]) == value[-1] if value.isdecimal() else None


def _siret(value: str) -> bool | None:
    if value.startswith(LA_POSTE) and sum(map(int, value)) % 5 == 0:
        return True
    return _luhn(value)


def _nir(value: str) -> bool | None:
    return nir_key(value[:13]) == value[13:]


def _rank_of(length: int) -> Checker:
    """Return the check of a practice number: that of the professional's number it begins with."""
    return lambda value: _luhn(value[:length])


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of national identifier.

    ``code`` is its code in FR Core's identifier types. ``prefixes`` maps the first character of a prefixed number
    to the kind that follows; ``groups`` are the lengths in which people read the number.
    """

    code: str
    system: str
    pattern: str
    checker: Checker | None = None
    prefixes: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[int, ...] = ()

    def matches(self, value: str) -> bool:
        """Say whether a value without spaces has the pattern of this kind."""
        return re.fullmatch(self.pattern, value, re.ASCII) is not None


_FINESS = r"(?:\d\d|2[AB])\d{7}"
_ADELI = r"[0-9AB]{9}"
_NIR = r"[1-8]\d{4}(?:\d\d|2[AB])\d{8}"
_NIR_GROUPS = (1, 2, 2, 2, 3, 3, 2)

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.code: kind
        for kind in (
            Kind("RPPS", RPPS_SYSTEM, r"\d{11}", _luhn),
            Kind("ADELI", "https://adeli.esante.gouv.fr", _ADELI, _luhn, groups=(2, 1, 5, 1)),
            Kind("RPPSRG", "https://rppsrang.esante.gouv.fr", r"\d{13,14}", _rank_of(11)),
            Kind("ADELIRG", "https://adelirang.esante.gouv.fr", _ADELI + r"\d\d", _rank_of(9)),
            Kind("FINEJ", FINESS_SYSTEM, _FINESS, _luhn, groups=(2, 3, 3, 1)),
            Kind("FINEG", FINESS_SYSTEM, _FINESS, _luhn, groups=(2, 3, 3, 1)),
            Kind("SIREN", SIRENE_SYSTEM, r"\d{9}", _luhn, groups=(3, 3, 3)),
            Kind("SIRET", SIRENE_SYSTEM, r"\d{14}", _siret, groups=(3, 3, 3, 5)),
            Kind(
                "IDNPS",
                IDNPS_SYSTEM,
                rf"8\d{{11}}|0{_ADELI}|[13456][0-9AB]+/\S+",
                prefixes={"8": "RPPS", "0": "ADELI"},
            ),
            Kind(
                "IDNST",
                IDNST_SYSTEM,
                rf"0{_ADELI}\d\d|1{_FINESS}|2\d{{9}}|3\d{{14}}|4\d{{13,14}}",
                prefixes={"0": "ADELIRG", "1": "FINEG", "2": "SIREN", "3": "SIRET", "4": "RPPSRG"},
            ),
            Kind("INS-NIR", "urn:oid:1.2.250.1.213.1.4.8", _NIR, _nir, groups=_NIR_GROUPS),
            Kind("INS-NIA", "urn:oid:1.2.250.1.213.1.4.9", _NIR, _nir, groups=_NIR_GROUPS),
            Kind("INS-NIR-TEST", "urn:oid:1.2.250.1.213.1.4.10", _NIR, _nir, groups=_NIR_GROUPS),
            Kind("INS-NIR-DEMO", "urn:oid:1.2.250.1.213.1.4.11", _NIR, _nir, groups=_NIR_GROUPS),
        )
    }
)
"""Every kind by its code. Codes are FR Core's; ``ADELIRG`` is ours, FR Core having only INTRN for it."""


def parse(code: str, text: str) -> str:
    """Return an identifier without spaces, letters in capitals. Raises ``ValueError`` if it has not the pattern."""
    value, kind = _compact(text), KINDS[code]
    if not kind.matches(value):
        raise ValueError(f"not a {code} identifier: {len(value)} characters, expected {kind.pattern}")
    return value


def check(code: str, text: str) -> bool | None:
    """Say whether the check digit is right; None where the kind, or this number, has none that is published.

    Raises ``ValueError`` if the text has not the pattern of the kind.
    """
    value = parse(code, text)
    kind = KINDS[code]
    if kind.prefixes:
        inner = kind.prefixes.get(value[0])
        return None if inner is None else check(inner, value[1:])
    return None if kind.checker is None else kind.checker(value)


def readable(code: str, text: str) -> str:
    """Return an identifier in the groups in which people read it: ``732 829 320 00074``."""
    value, start, parts = parse(code, text), 0, []
    for length in KINDS[code].groups or (len(value),):
        parts.append(value[start : start + length])
        start += length
    return " ".join(parts)


def add_prefix(code: str, text: str) -> str:
    """Return the national form (IDNPS or IDNST) of a number: a RPPS gets ``8``, a FINESS ``1``.

    Raises ``ValueError`` for a kind that has no national form, or a text without the pattern of its kind.
    """
    value = parse(code, text)
    wanted = "FINEG" if code == "FINEJ" else code
    for kind in KINDS.values():
        for prefix, inner in kind.prefixes.items():
            if inner == wanted:
                return prefix + value
    raise ValueError(f"{code} has no national form")


def remove_prefix(code: str, text: str) -> tuple[str, str] | None:
    """Return the kind and the number inside an IDNPS or IDNST; None where the prefix names no register.

    Raises ``ValueError`` if the text has not the pattern of the kind.
    """
    value = parse(code, text)
    inner = KINDS[code].prefixes.get(value[0])
    return None if inner is None else (inner, value[1:])


def fictitious_rpps(rank: int) -> str:
    """Return a RPPS number that belongs to nobody: ``9970099``, the rank (0 to 999), the check digit."""
    if not 0 <= rank < 1000:
        raise ValueError(f"{rank} is outside the fictitious range of 1000 numbers")
    number = f"9970099{rank:03d}"
    return number + luhn_digit(number)


def _compact(text: str) -> str:
    """Drop every space, the no-break ones of the national files included; capitals, but in a local number."""
    value = "".join(text.split())
    return value if "/" in value else value.upper()
