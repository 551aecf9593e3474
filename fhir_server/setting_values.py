"""What the text of a setting may be: each reader returns the value, or raises ``ValueError`` that says why not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from fhir_server.definitions.structures import Structures
from fhir_server.rest.subjects import listed

PREFIX: Final = "FHIR_"
BASE_PATH: Final = "/fhir"
"""The path of the service base URL on the server's own listener, whatever a proxy shows to clients."""

_OWN_PATHS: Final = (BASE_PATH, "/health", "/ready", "/docs", "/openapi.json")
_ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.\-]*)://((?:[a-z0-9.\-_]+|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?)")
MONGODB: Final = ("mongodb", "mongodb+srv")
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def read_choice(text: str, choices: tuple[str, ...]) -> str:
    if text.lower() not in choices:
        raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
    return text.lower()


def read_switch(text: str) -> bool:
    if text.lower() in ("on", "true", "yes", "1"):
        return True
    if text.lower() in ("off", "false", "no", "0"):
        return False
    raise ValueError(f"{text!r} is neither on nor off")


def read_whole(text: str, low: int, high: int, unit: str = "") -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise ValueError(f"{text!r} is not a whole number {unit and unit + ' '}from {low} to {high}")
    return value


def read_seconds(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise ValueError(f"{text!r} is not a number of seconds from {low:g} to {high:g}")
    return value


def read_folder(text: str) -> str:
    if not Path(text).is_dir():
        raise ValueError(f"{text!r} is not a folder")
    return text


def read_file(text: str) -> str:
    """Check that a file is there. One that this user may not see is the server's to read, and not every command's."""
    with suppress(PermissionError):
        if not Path(text).is_file():
            raise ValueError(f"{text!r} is not a file")
    return text


def read_files(text: str) -> tuple[str, ...]:
    return tuple(read_file(item) for item in read_list(text))


def read_store(text: str) -> str:
    """Check the kind of store; the value may hold a password, so no text quotes it."""
    scheme, colon, rest = text.partition(":")
    if scheme in MONGODB:
        _check_mongodb(rest)
        return text
    if scheme != "sqlite" or not colon:
        raise ValueError("it begins neither with sqlite: nor with mongodb://; give sqlite:PATH")
    if not rest:
        raise ValueError("sqlite: is not followed by the path of a file")
    if rest.endswith("/") or Path(rest).is_dir():
        raise ValueError(f"{rest} is a folder; give the path of a file in it: sqlite:{Path(rest, 'cpts.sqlite')}")
    if rest == ":memory:":
        raise ValueError("an SQLite database in memory cannot be shared by the server's connections; give a file")
    return text


def _check_mongodb(rest: str) -> None:
    """Check what follows the scheme: the rest of it is the driver's to read."""
    address, slash, after = rest.removeprefix("//").partition("/")
    if not rest.startswith("//") or not address.rpartition("@")[2]:
        raise ValueError("mongodb: is not followed by //HOST/NAME")
    if not slash or not after.partition("?")[0]:
        raise ValueError("mongodb:// names no database; give mongodb://HOST/NAME")


def read_host(text: str) -> str:
    if not text or any(character in "/@?# \t" for character in text):
        raise ValueError(f"{text!r} is neither an address nor the name of a host")
    return text.strip("[]")


def read_place(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host or (":" in host and not host.startswith("[")):
        raise ValueError(f"{text!r} is not an address and a port like 127.0.0.1:8443 or [::1]:8443")
    read_host(host)
    read_whole(port, 0, 65535)
    return text


def read_header(text: str) -> str:
    """Return the name of a header as the server knows it: in lower case."""
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+", text):
        raise ValueError(f"{text!r} is not the name of a header")
    return text.lower()


def read_subjects(text: str) -> str:
    """Check that clients can be read from it; the text stays, for what it names may be a file."""
    listed(text)
    return text


def read_zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ValueError, OSError, KeyError):
        raise ValueError(f"{text!r} is not a time zone like Europe/Paris") from None


def read_list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def read_urls(text: str) -> tuple[str, ...]:
    return tuple(_checked_url(item) for item in read_list(text))


def _checked_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        parts, usable = urlsplit(""), None
    if not usable:
        raise ValueError(f"{text!r} is not an http or https URL")
    if parts.query or parts.fragment or parts.username is not None or any(character.isspace() for character in text):
        raise ValueError("a base URL has no user, query, fragment or space")
    return text.rstrip("/")


def read_origins(text: str) -> tuple[str, ...]:
    """Return origins as browsers send them: in lower case, without a default port."""
    origins = tuple(dict.fromkeys(_checked_origin(item) for item in read_list(text)))
    if "*" in origins and len(origins) > 1:
        raise ValueError("* is every origin, so it stands alone")
    return origins


def _checked_origin(text: str) -> str:
    if text == "*":
        return text
    match = _ORIGIN.fullmatch(text.lower().removesuffix("/"))
    if match is None:
        raise ValueError(f"{text!r} is not an origin like https://app.example.org, which has no path and no *")
    return f"{match[1]}://{match[2].removesuffix(_DEFAULT_PORTS.get(match[1], ' '))}"


def read_networks(text: str) -> tuple[str, ...]:
    return tuple(_checked_network(item) for item in read_list(text))


def _checked_network(text: str) -> str:
    try:
        return str(ip_network(text)) if "/" in text else str(ip_address(text))
    except ValueError:
        raise ValueError(f"{text!r} is neither an address nor a network like 10.0.0.0/8") from None


def read_types(text: str) -> tuple[str, ...]:
    names = read_list(text)
    if not names:
        raise ValueError("at least one resource type must be served")
    known = Structures.load().resource_types
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is not a resource type of FHIR R4{nearest(name, known)}")
    return tuple(sorted(set(names)))


def read_profiles(text: str) -> tuple[str, ...]:
    return tuple(_checked_profile(item) for item in read_list(text))


def _checked_profile(text: str) -> str:
    type_, equals, url = text.partition("=") if "=" in text.partition(":")[0] else ("", "", text)
    known = Structures.load().resource_types
    if equals and type_ not in known:
        raise ValueError(f"{type_!r} is not a resource type of FHIR R4{nearest(type_, known)}")
    if ":" not in url:
        raise ValueError(f"{text!r} is neither a canonical URL like https://example.org/Profile nor Type=URL")
    return text


def read_sas_paths(text: str) -> tuple[str, ...]:
    """Check what settings can know of base paths; ``france`` reads what is said of each."""
    if text == "off":
        return ()
    items = read_list(text)
    paths = [item.partition(";")[0].strip() for item in items]
    for path in paths:
        if not path.startswith("/") or path.endswith("/"):
            raise ValueError(f"{path!r} is not a path like /sas")
        if any((path + "/").startswith(other + "/") or (other + "/").startswith(path + "/") for other in _OWN_PATHS):
            raise ValueError(f"{path} is taken by the server itself")
        if paths.count(path) > 1:
            raise ValueError(f"{path} stands twice")
    return items


def written(value: object) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case tuple():
            return ",".join(value)
        case float():
            return f"{value:.12g}"
        case _:
            return str(value)


def nearest(name: str, names: Iterable[str]) -> str:
    rests = {other.removeprefix(PREFIX): other for other in sorted(names)}
    near = get_close_matches(name.removeprefix(PREFIX), rests, n=1, cutoff=0.5)
    return f"; did you mean {rests[near[0]]}?" if near else ""
