"""French telephone numbers in one form, and addresses of the secure health mail (MSSanté) told apart.

Source: the SAS guide writes +33 and nine digits; the Annuaire Santé writes 0 and nine digits.
"""

from __future__ import annotations

import json
import re
from functools import cache
from types import MappingProxyType
from typing import Any, Final, Literal

from fhir_server.definitions.guide import MAPPINGS
from fhir_server.france.vocabulary import tre

EMAIL_TYPE: Final = MappingProxyType(
    {
        "current": "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-contact-point-email-type",
        "old": "http://interopsante.org/fhir/StructureDefinition/FrContactPointEmailType",
    }
)
"""The extension that types an e-mail address, in FR Core 2 and in FR Core 1."""

MAIL_TYPES: Final = tre("TRE_R256-TypeMessagerie")

_BLANKS: Final = re.compile(r"[\s.\-/()\u2010-\u2015]+")
_FRENCH: Final = re.compile(r"(?:(?:\+|00)33\(?0?\)?|0)([1-9]\d{8})", re.ASCII)
_FOREIGN: Final = re.compile(r"(?:\+|00)([1-9]\d{6,14})", re.ASCII)
_OVERSEAS: Final = MappingProxyType(
    {
        **dict.fromkeys(("262", "263", "269", "639", "692", "693"), "262"),
        **dict.fromkeys(("590", "690", "691"), "590"),
        **dict.fromkeys(("594", "694"), "594"),
        **dict.fromkeys(("596", "696", "697"), "596"),
    }
)
"""What numbers of the overseas départements begin with, and the country code that they have instead of 33."""


def phone(text: str) -> str | None:
    """Return a telephone number in its international form: ``+33381000000`` for ``03 81 00 00 00``.

    None for what is no number of a subscriber: a short number (15, 116117), a number with an extension, a text.
    """
    value = _BLANKS.sub("", text.removeprefix("tel:"))
    french = _FRENCH.fullmatch(value)
    if french is not None:
        number = french[1]
        return f"+{_OVERSEAS.get(number[:3], '33')}{number}"
    foreign = _FOREIGN.fullmatch(value)
    return f"+{foreign[1]}" if foreign is not None else None


def compared(value: str) -> str:
    """Return the value of a ContactPoint as it is compared: telephone numbers in one form, e-mail addresses in small
    letters, the rest as it is.

    A blank before digits is a plus that was not encoded in a URL.
    """
    if "@" in value:
        return value.lower()
    if value[:1] not in _FIRST:
        return value
    return phone(f"+{value[1:]}" if value[0] == " " else value) or value


_FIRST: Final = frozenset("+0t( ")
"""What a telephone number of more than a few digits begins with."""


@cache
def _domains() -> frozenset[str]:
    return frozenset(json.loads((MAPPINGS / "mssante.json").read_bytes())["domaines"])


def is_mssante(address: str) -> bool:
    """Tell whether an e-mail address is of a domain that is known as MSSanté (``mappings/mssante.json``)."""
    domain = address.rpartition("@")[2].lower()
    return "@" in address and any(domain == known or domain.endswith(f".{known}") for known in _domains())


def email_point(
    address: str, *, secure: bool | None = None, form: Literal["current", "old"] = "current"
) -> dict[str, Any]:
    """Return a ContactPoint of an e-mail address, typed if it is MSSanté's.

    ``secure`` says whether it is; None: its domain does. ``form``: the extension that types it.
    """
    address = address.strip()
    plain = {"system": "email", "value": address}
    if not (is_mssante(address) if secure is None else secure):
        return plain
    coding = {"system": MAIL_TYPES, "code": "MSSANTE"}
    return {"extension": [{"url": EMAIL_TYPE[form], "valueCoding": coding}], **plain}
