"""The settings of a server: one table, read from flags and from the environment, refused with one sentence.

Each field of ``Settings`` is a row of the table: field ``page_maximum`` is the variable ``FHIR_PAGE_MAXIMUM`` and the
flag ``--page-maximum``. ``docs/settings.md`` lists them all, and a test compares the two.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from fhir_server.definitions.registry import DEFAULT_TYPES
from fhir_server.definitions.structures import Structures

T = TypeVar("T")

PREFIX: Final = "FHIR_"
PARIS: Final = ZoneInfo("Europe/Paris")
BASE_PATH: Final = "/fhir"
"""The path of the service base URL on the server's own listener, whatever a proxy shows to clients."""

_OWN_PATHS: Final = (BASE_PATH, "/health", "/ready", "/docs", "/redoc", "/openapi.json")

NOT_SETTINGS: Final = ("FHIR_TEST_", "FHIR_TORTURE")
"""What the variables of the test suite begin with: they stop no start and change nothing."""

_ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.\-]*)://((?:[a-z0-9.\-_]+|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?)")
_MONGODB: Final = ("mongodb", "mongodb+srv")
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


class StartError(Exception):
    """The server cannot start; the text is one sentence for the person who started it."""


class SettingsError(StartError):
    """A setting is unknown or impossible; the text names it and says why."""


# --- from text to value, and back ------------------------------------------------------------------------------------


def _read_choice(text: str, choices: tuple[str, ...]) -> str:
    if text.lower() not in choices:
        raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
    return text.lower()


def _read_switch(text: str) -> bool:
    if text.lower() in ("on", "true", "yes", "1"):
        return True
    if text.lower() in ("off", "false", "no", "0"):
        return False
    raise ValueError(f"{text!r} is neither on nor off")


def _read_whole(text: str, low: int, high: int, unit: str = "") -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise ValueError(f"{text!r} is not a whole number {unit and unit + ' '}from {low} to {high}")
    return value


def _read_seconds(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise ValueError(f"{text!r} is not a number of seconds from {low:g} to {high:g}")
    return value


def _read_folder(text: str) -> str:
    if not Path(text).is_dir():
        raise ValueError(f"{text!r} is not a folder")
    return text


def _read_store(text: str) -> str:
    """Check the kind of store; the value may hold a password, so no text quotes it."""
    scheme, colon, rest = text.partition(":")
    if scheme in _MONGODB:
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


def _read_host(text: str) -> str:
    if not text or any(character in "/@?# \t" for character in text):
        raise ValueError(f"{text!r} is neither an address nor the name of a host")
    return text.strip("[]")


def _read_zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ValueError, OSError, KeyError):
        raise ValueError(f"{text!r} is not a time zone like Europe/Paris") from None


def _read_list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _read_urls(text: str) -> tuple[str, ...]:
    return tuple(_checked_url(item) for item in _read_list(text))


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


def _read_origins(text: str) -> tuple[str, ...]:
    """Return origins as browsers send them: in lower case, without a default port."""
    origins = tuple(dict.fromkeys(_checked_origin(item) for item in _read_list(text)))
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


def _read_networks(text: str) -> tuple[str, ...]:
    return tuple(_checked_network(item) for item in _read_list(text))


def _checked_network(text: str) -> str:
    try:
        return str(ip_network(text)) if "/" in text else str(ip_address(text))
    except ValueError:
        raise ValueError(f"{text!r} is neither an address nor a network like 10.0.0.0/8") from None


def _read_types(text: str) -> tuple[str, ...]:
    names = _read_list(text)
    if not names:
        raise ValueError("at least one resource type must be served")
    known = Structures.load().resource_types
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is not a resource type of FHIR R4{_nearest(name, known)}")
    return tuple(sorted(set(names)))


def _read_profiles(text: str) -> tuple[str, ...]:
    return tuple(_checked_profile(item) for item in _read_list(text))


def _checked_profile(text: str) -> str:
    type_, equals, url = text.partition("=") if "=" in text.partition(":")[0] else ("", "", text)
    known = Structures.load().resource_types
    if equals and type_ not in known:
        raise ValueError(f"{type_!r} is not a resource type of FHIR R4{_nearest(type_, known)}")
    if ":" not in url:
        raise ValueError(f"{text!r} is neither a canonical URL like https://example.org/Profile nor Type=URL")
    return text


def _read_sas_paths(text: str) -> tuple[str, ...]:
    """Check what settings can know of base paths; ``france`` reads what is said of each."""
    if text == "off":
        return ()
    items = _read_list(text)
    paths = [item.partition(";")[0].strip() for item in items]
    for path in paths:
        if not path.startswith("/") or path.endswith("/"):
            raise ValueError(f"{path!r} is not a path like /sas")
        if any((path + "/").startswith(other + "/") or (other + "/").startswith(path + "/") for other in _OWN_PATHS):
            raise ValueError(f"{path} is taken by the server itself")
        if paths.count(path) > 1:
            raise ValueError(f"{path} stands twice")
    return items


def _write(value: object) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case tuple():
            return ",".join(value)
        case float():
            return f"{value:.12g}"
        case _:
            return str(value)


def _nearest(name: str, names: Iterable[str]) -> str:
    rests = {other.removeprefix(PREFIX): other for other in sorted(names)}
    near = get_close_matches(name.removeprefix(PREFIX), rests, n=1, cutoff=0.5)
    return f"; did you mean {rests[near[0]]}?" if near else ""


# --- the table -------------------------------------------------------------------------------------------------------


class Setting(NamedTuple):
    """A row of the table: what a setting is called, how its text is read, what it is for."""

    name: str
    default: Any
    read: Callable[[str], Any]
    metavar: str
    help: str

    @property
    def variable(self) -> str:
        """The environment variable: ``FHIR_PAGE_MAXIMUM``."""
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """The flag: ``--page-maximum``."""
        return "--" + self.name.replace("_", "-")

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off: its flag takes no value."""
        return isinstance(self.default, bool)

    @property
    def default_text(self) -> str:
        """The default as it would be written; empty where there is none."""
        return _write(self.default)

    def given_as(self, flags: Container[str]) -> str:
        """Return what to call this setting to somebody who gave these flags, by name: its flag, else its variable."""
        return self.flag if self.name in flags else self.variable


def _row(default: T, read: Callable[[str], T], metavar: str, help: str) -> T:
    return field(default=default, metadata={"read": read, "metavar": metavar, "help": help})


def _count(default: int, low: int, high: int, help: str, unit: str = "") -> int:
    return _row(default, partial(_read_whole, low=low, high=high, unit=unit), "N", help)


def _seconds(default: float, low: float, high: float, help: str) -> float:
    return _row(default, partial(_read_seconds, low=low, high=high), "SECONDS", help)


def _switch(default: bool, help: str) -> bool:
    return _row(default, _read_switch, "on|off", help)


def _choice(default: str, choices: tuple[str, ...], help: str) -> str:
    return _row(default, partial(_read_choice, choices=choices), "|".join(choices), help)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a server was told; ``read`` checks each value, and that no two contradict each other."""

    store: str = _row(
        "sqlite:./data/cpts.sqlite",
        _read_store,
        "sqlite:PATH|mongodb://HOST/NAME",
        "where resources are kept: an SQLite file, made with its folder if it does not exist, or a database of MongoDB",
    )
    host: str = _row("127.0.0.1", _read_host, "ADDRESS", "the address to listen on")
    port: int = _count(8080, 0, 65535, "the TCP port to listen on; 0 takes a free one")
    workers: int = _count(1, 1, 64, "how many processes serve requests")
    preparers: int = _count(
        1, 0, 64, "processes in which each worker checks large Bundles, started when one comes; 0: none"
    )
    demo: bool = _switch(False, "load two real CPTS with fictitious members and slots of the coming days")
    definitions: bool = _switch(True, "store this project's own profiles, code systems and the like at the start")
    packages: str = _row(
        "", _read_folder, "FOLDER", "a folder of FHIR packages (.tgz), whose definitions are stored at the start"
    )
    unprotected: bool = _switch(False, "allow a listener outside this machine although there is no access control yet")
    base_url: tuple[str, ...] = _row(
        (),
        _read_urls,
        "URL[,URL]",
        "the service base URL that clients use; the first is written, the others are understood too",
    )
    trusted_proxies: tuple[str, ...] = _row(
        (),
        _read_networks,
        "ADDRESS[,ADDRESS]",
        "the proxies, addresses or networks, whose forwarded headers say which base URL a client uses",
    )
    cors_origins: tuple[str, ...] = _row(
        (), _read_origins, "ORIGIN[,ORIGIN]", "the web pages that browsers let call this server, by origin; * is all"
    )
    zone: ZoneInfo = _row(  # noqa: RUF009 a ZoneInfo never changes
        PARIS, _read_zone, "ZONE", "the time zone of dates written without one"
    )
    types: tuple[str, ...] = _row(
        tuple(sorted(DEFAULT_TYPES)), _read_types, "TYPE[,TYPE]", "the resource types that are served"
    )
    update_create: bool = _switch(True, "let a PUT to an id that does not exist create the resource")
    integrity: str = _choice(
        "off", ("off", "warn", "enforce"), "what becomes of a write that would leave a reference without its target"
    )
    unknown_codes: str = _choice(
        "warn", ("warn", "refuse"), "what a search for a code outside of a required value set is answered"
    )
    profiles: tuple[str, ...] = _row(
        (),
        _read_profiles,
        "PROFILE[,PROFILE]",
        "the profiles that resources must conform to when they are written, by canonical URL; Type=URL for one type",
    )
    claimed_profiles: str = _choice(
        "note",
        ("ignore", "note", "warn", "enforce"),
        "what becomes of a write that claims a profile: a warning if it is not loaded, or if the resource breaks it",
    )
    sas_paths: tuple[str, ...] = _row(
        ("/sas",),
        _read_sas_paths,
        "PATH[;OPTION=VALUE][,PATH]",
        "the base paths that the SAS platform calls, each with its guide, actors, time and url; off: none",
    )
    sas_rdv: bool = _switch(False, "receive appointments on the SAS base paths, as the national platform does")
    sas_results: int = _count(10_000, 1, 100_000, "most matches of one answer to the SAS platform")
    sas_identifiers: int = _count(100, 1, 1_000, "most identifiers in one request of the SAS platform")
    production: bool = _switch(False, "hold real patients only: test and demonstration identities (INS) are refused")
    check_digits: str = _choice(
        "warn", ("warn", "refuse"), "what becomes of a national identifier whose check digit is wrong"
    )
    unique_identifiers: bool = _switch(True, "keep a national identifier to one active resource of its family")
    booking: bool = _switch(
        True, "let appointments take their slots and free them; off for the mirror of another agenda"
    )
    parallel_slots: bool = _switch(False, "let a schedule offer a slot at a time when another slot of it is held")
    actor_overlap: str = _choice(
        "off", ("off", "warn", "refuse"), "what becomes of an appointment at whose time one of its actors has another"
    )
    page_default: int = _count(50, 1, 100_000, "entries of a page when the client asks for no number")
    page_maximum: int = _count(1_000, 1, 100_000, "most entries of a page, whatever the client asks for")
    includes: int = _count(10_000, 1, 1_000_000, "most resources that _include and _revinclude may add to a page")
    bundle_entries: int = _count(5_000, 1, 100_000, "most entries of a batch or transaction")
    delete_matches: int = _count(1_000, 1, 100_000, "most resources that one conditional delete may remove")
    body_bytes: int = _count(20_000_000, 1_000, 1_000_000_000, "largest body of a request", "of bytes")
    resource_bytes: int = _count(2_000_000, 1_000, 12_000_000, "largest resource, also inside a Bundle", "of bytes")
    answer_bytes: int = _count(
        50_000_000, 100_000, 1_000_000_000, "resources of one answer: a page that would pass it ends early", "of bytes"
    )
    header_bytes: int = _count(32_768, 1_024, 65_536, "largest request line and headers together", "of bytes")
    commit_bytes: int = _count(12_000_000, 100_000, 12_000_000, "largest commit: what one write changes", "of bytes")
    query_seconds: float = _seconds(10.0, 0.01, 3_600, "longest time a search may take")
    count_seconds: float = _seconds(0.5, 0.0, 3_600, "longest time spent on counting a search's total")
    drain_seconds: int = _count(10, 1, 3_600, "how long running requests may take to finish when the server stops")
    log_level: str = _choice("info", ("debug", "info", "warning", "error"), "the least serious lines to log")
    log_format: str = _choice("auto", ("auto", "json", "text"), "the form of a log line; auto is text on a terminal")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the ``FHIR_`` variables (of this process, by default). Raises ``SettingsError``."""
        return cls.read({}, os.environ if environment is None else environment)

    @classmethod
    def read(cls, flags: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
        """Read flags (name of the setting → text), then the environment, then the defaults.

        An empty variable counts as absent. Raises ``SettingsError`` for an unknown variable, an impossible value, or
        two values that contradict each other; it names each as it was given: the flag, else the variable.
        """
        _refuse_unknown(environment)
        values: dict[str, Any] = {}
        for setting in SETTINGS:
            text = flags.get(setting.name, environment.get(setting.variable) or None)
            if text is not None:
                try:
                    values[setting.name] = setting.read(text)
                except ValueError as reason:
                    raise SettingsError(_sentence(f"{setting.given_as(flags)}: {reason}")) from None
        settings = cls(**values)
        _refuse_contradictions(settings, {setting.name: setting.given_as(flags) for setting in SETTINGS})
        return settings

    def to_environment(self) -> dict[str, str]:
        """Return the variables that make another process read these very settings; defaults are left out."""
        values = ((setting, getattr(self, setting.name)) for setting in SETTINGS)
        return {setting.variable: _write(value) or "off" for setting, value in values if value != setting.default}

    @property
    def is_loopback(self) -> bool:
        """Whether the listener can be reached from this machine only."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    @property
    def origin(self) -> str:
        """The listener's own scheme, host and port, as this machine can reach it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 nothing is bound here
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def bases(self) -> tuple[str, ...]:
        """The service base URLs without a final slash: all are ours in references, the first is written."""
        if self.base_url:
            return self.base_url
        others = (f"http://{name}:{self.port}{BASE_PATH}" for name in ("localhost", "127.0.0.1"))
        return tuple(dict.fromkeys((self.origin + BASE_PATH, *others)))

    @property
    def is_mongodb(self) -> bool:
        """Whether resources are kept in MongoDB."""
        return self.store.partition(":")[0] in _MONGODB

    @property
    def store_shown(self) -> str:
        """The store as people may read it: without user, password and options."""
        if not self.is_mongodb:
            return self.store
        scheme, _, rest = self.store.partition("://")
        address, _, name = rest.partition("?")[0].partition("/")
        return f"{scheme}://{address.rpartition('@')[2]}/{name}"

    @property
    def sqlite_path(self) -> Path:
        """The file of the SQLite store."""
        return Path(self.store.removeprefix("sqlite:"))


SETTINGS: Final = tuple(Setting(row.name, row.default, **row.metadata) for row in fields(Settings))
"""The table, in the order of ``docs/settings.md``."""


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {setting.variable for setting in SETTINGS}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known and not name.startswith(NOT_SETTINGS):
            hint = _nearest(name, known) or "; fhir-server serve --help lists them"
            raise SettingsError(_sentence(f"{name} is not a setting of this server{hint}"))


def _refuse_contradictions(settings: Settings, called: Mapping[str, str]) -> None:
    """Raise ``SettingsError`` where two values cannot both be; ``called`` is what the person calls each setting."""
    if settings.page_default > settings.page_maximum:
        told = f"{settings.page_default} is more than {called['page_maximum']}, {settings.page_maximum}"
        raise SettingsError(f"{called['page_default']}: {told}.")
    if not settings.unprotected and not settings.is_loopback:
        raise SettingsError(
            f"{called['host']}: {settings.host} can be reached from other machines and this server has no access "
            "control yet; keep 127.0.0.1, or add --unprotected if everyone there may read and change everything."
        )


def _sentence(text: str) -> str:
    return text if text.endswith(("?", ".")) else text + "."
