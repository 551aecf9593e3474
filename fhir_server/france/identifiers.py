"""French national identifiers: one row per kind, with its systems, its pattern and its check digit.

A wrong pattern is an error (``parse`` raises); a wrong check digit is only told (``check`` answers False), for
the guides' own examples break it. Values are compared without their spaces and stored as they were sent. A number and
its national form (RPPS and IDNPS; FINESS, SIREN, SIRET and IDNST) are one number: ``forms``.

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
COMMUNE_SYSTEM = "https://mos.esante.gouv.fr/NOS/TRE_R13-CommuneOM/FHIR/TRE-R13-CommuneOM"
_INS = "urn:oid:1.2.250.1.213.1.4"

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

    ``code`` is its code in FR Core's identifier types. ``words`` say what ``pattern`` asks for. ``prefixes`` maps the
    first character of a prefixed number to the kind that follows; ``groups`` are the lengths in which people read the
    number. ``is_firm``: the sources agree on the pattern, so that a value without it is refused. ``is_trial``: it is
    nobody's, made for tests and demonstrations.
    """

    code: str
    system: str
    words: str
    pattern: str
    checker: Checker | None = None
    prefixes: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[int, ...] = ()
    is_firm: bool = True
    is_trial: bool = False

    def matches(self, value: str) -> bool:
        """Say whether a value without spaces has the pattern of this kind."""
        return re.fullmatch(self.pattern, value, re.ASCII) is not None


_FINESS = r"(?:\d\d|2[AB])\d{7}"
_FINESS_WORDS = "9 digits, the second an A or B in Corsica"
_ADELI = r"[0-9AB]{9}"
_NIR = r"[1-8]\d{4}(?:\d\d|2[AB])\d{8}"
_NIR_GROUPS = (1, 2, 2, 2, 3, 3, 2)


def _ins(code: str, arc: int, *, is_trial: bool = False) -> Kind:
    """Return a kind of patients' numbers: a NIR, or what stands for it."""
    words = "15 digits, the seventh an A or B in Corsica"
    return Kind(code, f"{_INS}.{arc}", words, _NIR, _nir, groups=_NIR_GROUPS, is_trial=is_trial)


_ALL: tuple[Kind, ...] = (
    Kind("RPPS", RPPS_SYSTEM, "11 digits", r"\d{11}", _luhn),
    Kind("ADELI", "https://adeli.esante.gouv.fr", "9 digits, A and B among them", _ADELI, _luhn, groups=(2, 1, 5, 1)),
    Kind("RPPSRG", "https://rppsrang.esante.gouv.fr", "13 or 14 digits", r"\d{13,14}", _rank_of(11), is_firm=False),
    Kind("ADELIRG", "https://adelirang.esante.gouv.fr", "an ADELI and 2 digits", _ADELI + r"\d\d", _rank_of(9)),
    Kind("FINEJ", FINESS_SYSTEM, _FINESS_WORDS, _FINESS, _luhn, groups=(2, 3, 3, 1)),
    Kind("FINEG", FINESS_SYSTEM, _FINESS_WORDS, _FINESS, _luhn, groups=(2, 3, 3, 1)),
    Kind("SIREN", SIRENE_SYSTEM, "9 digits", r"\d{9}", _luhn, groups=(3, 3, 3)),
    Kind("SIRET", SIRENE_SYSTEM, "14 digits", r"\d{14}", _siret, groups=(3, 3, 3, 5)),
    Kind(
        "IDNPS",
        IDNPS_SYSTEM,
        "8 and a RPPS, 0 and an ADELI, or 1, 3, 4, 5 or 6, a structure's number, / and a number of its own",
        rf"8\d{{11}}|0{_ADELI}|[13456][0-9AB]+/\S+",
        prefixes={"8": "RPPS", "0": "ADELI"},
    ),
    Kind(
        "IDNST",
        IDNST_SYSTEM,
        "1 and a FINESS, 2 and a SIREN, 3 and a SIRET, 4 and a RPPS rang, or 0 and an ADELI rang",
        rf"0{_ADELI}\d\d|1{_FINESS}|2\d{{9}}|3\d{{14}}|4\d{{13,14}}",
        prefixes={"0": "ADELIRG", "1": "FINEG", "2": "SIREN", "3": "SIRET", "4": "RPPSRG"},
    ),
    _ins("INS-NIR", 8),
    _ins("INS-NIA", 9),
    _ins("INS-NIR-TEST", 10, is_trial=True),
    _ins("INS-NIR-DEMO", 11, is_trial=True),
    _ins("NSS-NIR", 13),
    _ins("NSS-NIA", 14),
    Kind("COG", COMMUNE_SYSTEM, "5 digits, the second an A or B in Corsica", r"(?:\d\d|2[AB])\d{3}"),
)

KINDS: Mapping[str, Kind] = MappingProxyType({kind.code: kind for kind in _ALL})
"""Every kind by its code. Codes are FR Core's, but for two of ours: ``ADELIRG``, for which FR Core has only INTRN, and
``COG``, INSEE's codes of communes. The national numbers of patients keep the code of their FR Core slice."""

BY_SYSTEM: Mapping[str, tuple[Kind, ...]] = MappingProxyType(
    {system: tuple(kind for kind in _ALL if kind.system == system) for system in {kind.system for kind in _ALL}}
)
"""The kinds of each system of identifiers."""

_NATIONAL: Mapping[str, tuple[str, str]] = MappingProxyType(
    {inner: (kind.code, prefix) for kind in _ALL for prefix, inner in kind.prefixes.items()} | {"FINEJ": ("IDNST", "1")}
)
"""The kind and the prefix of the national form of each kind that has one."""


def parse(code: str, text: str) -> str:
    """Return an identifier without spaces, letters in capitals. Raises ``ValueError`` if it has not the pattern."""
    value, kind = _compact(text), KINDS[code]
    if not kind.matches(value):
        raise ValueError(f"not a {code} identifier: {len(value)} characters, expected {kind.words}")
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
    if code not in _NATIONAL:
        raise ValueError(f"{code} has no national form")
    return _NATIONAL[code][1] + value


def remove_prefix(code: str, text: str) -> tuple[str, str] | None:
    """Return the kind and the number inside an IDNPS or IDNST; None where the prefix names no register.

    Raises ``ValueError`` if the text has not the pattern of the kind.
    """
    value = parse(code, text)
    inner = KINDS[code].prefixes.get(value[0])
    return None if inner is None else (inner, value[1:])


def kind_of(system: str, text: str) -> Kind | None:
    """Return the kind of a number that is told by its system: a SIREN or a SIRET by its length, a FINESS as FINEJ.

    None where the system is not among those known here, or has no number like it.
    """
    value = _compact(text)
    return next((kind for kind in BY_SYSTEM.get(system, ()) if kind.matches(value)), None)


def wrong_pattern(system: str, text: str) -> str | None:
    """Return what is wrong with a number of a system, without the number itself; None if it has the pattern of one of
    the system's kinds, or the system is not known, or its sources do not agree on a pattern."""
    kinds = BY_SYSTEM.get(system, ())
    if not kinds or kind_of(system, text) is not None or not all(kind.is_firm for kind in kinds):
        return None
    expected = ", or ".join(dict.fromkeys(kind.words for kind in kinds))
    named = " or ".join(kind.code for kind in kinds)
    return f"this is no {named}: received are {len(text)} characters that do not fit, expected is {expected}"


def forms(system: str, text: str) -> tuple[tuple[str, str], ...]:
    """Return the systems and values under which one number may be written, the given system first, without blanks: a
    RPPS and its IDNPS, a FINESS and its IDNST. Under a national system a number without its prefix is taken for the one
    with it. What is not understood stays alone, as it is."""
    kind = kind_of(system, text)
    if kind is None:
        return _without_prefix(system, text) or ((system, text),)
    value = _compact(text)
    if kind.code in _NATIONAL:
        code, prefix = _NATIONAL[kind.code]
        return (system, value), (KINDS[code].system, prefix + value)
    inner = kind.prefixes.get(value[0])
    if inner is None:
        return ((system, value),)
    return (system, value), (KINDS[inner].system, value[1:])


def _without_prefix(system: str, text: str) -> tuple[tuple[str, str], ...]:
    value = _compact(text)
    for kind in BY_SYSTEM.get(system, ()):
        for prefix, code in kind.prefixes.items():
            if KINDS[code].matches(value) and kind.matches(prefix + value):
                return (system, prefix + value), (KINDS[code].system, value)
    return ()


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
