"""The settings of a server: one table, read from flags and from the environment, refused with one sentence.

Each field of ``Settings`` is a row of the table: field ``page_maximum`` is the variable ``FHIR_PAGE_MAXIMUM`` and the
flag ``--page-maximum``. ``docs/settings.md`` lists them all, and a test compares the two.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from fhir_server.definitions.registry import DEFAULT_TYPES
from fhir_server.setting_values import (
    BASE_PATH,
    MONGODB,
    PREFIX,
    nearest,
    read_choice,
    read_file,
    read_files,
    read_folder,
    read_header,
    read_host,
    read_networks,
    read_origins,
    read_place,
    read_profiles,
    read_sas_paths,
    read_seconds,
    read_store,
    read_subjects,
    read_switch,
    read_types,
    read_urls,
    read_whole,
    read_zone,
    written,
)

__all__ = ["BASE_PATH", "SETTINGS", "Setting", "Settings", "SettingsError", "StartError"]

T = TypeVar("T")

PARIS: Final = ZoneInfo("Europe/Paris")

NOT_SETTINGS: Final = ("FHIR_TEST_", "FHIR_TORTURE")
"""What the variables of the test suite begin with: they stop no start and change nothing."""


class StartError(Exception):
    """The server cannot start; the text is one sentence for the person who started it."""


class SettingsError(StartError):
    """A setting is unknown or impossible; the text names it and says why."""


# --- the table -------------------------------------------------------------------------------------------------------


class Setting(NamedTuple):
    """A row of the table: what a setting is called, how its text is read, what it is for."""

    name: str
    default: Any
    read: Callable[[str], Any]
    metavar: str
    help: str
    is_secret: bool = False
    """Whether it comes by variable only: the flags of a process can be read by other users of the machine."""

    @property
    def variable(self) -> str:
        """The environment variable: ``FHIR_PAGE_MAXIMUM``."""
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """The flag: ``--page-maximum``; empty where there is none."""
        return "" if self.is_secret else "--" + self.name.replace("_", "-")

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off: its flag takes no value."""
        return isinstance(self.default, bool)

    @property
    def default_text(self) -> str:
        """The default as it would be written; empty where there is none."""
        return written(self.default)

    def given_as(self, flags: Container[str]) -> str:
        """Return what to call this setting to somebody who gave these flags, by name: its flag, else its variable."""
        return self.flag if self.name in flags else self.variable


def _row(default: T, read: Callable[[str], T], metavar: str, help: str) -> T:
    return field(default=default, metadata={"read": read, "metavar": metavar, "help": help})


def _count(default: int, low: int, high: int, help: str, unit: str = "") -> int:
    return _row(default, partial(read_whole, low=low, high=high, unit=unit), "N", help)


def _seconds(default: float, low: float, high: float, help: str) -> float:
    return _row(default, partial(read_seconds, low=low, high=high), "SECONDS", help)


def _switch(default: bool, help: str) -> bool:
    return _row(default, read_switch, "on|off", help)


def _file(help: str) -> str:
    return _row("", read_file, "FILE", help)


def _choice(default: str, choices: tuple[str, ...], help: str) -> str:
    return _row(default, partial(read_choice, choices=choices), "|".join(choices), help)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a server was told; ``read`` checks each value, and that no two contradict each other."""

    # --- the store and the process -----------------------------------------------------------------------------------

    store: str = _row(
        "sqlite:./data/cpts.sqlite",
        read_store,
        "sqlite:PATH|mongodb://HOST/NAME",
        "where resources are kept: an SQLite file, made with its folder if it does not exist, or a database of MongoDB",
    )
    host: str = _row("127.0.0.1", read_host, "ADDRESS", "the address to listen on")
    port: int = _count(8080, 0, 65535, "the TCP port to listen on; 0 takes a free one")
    unprotected: bool = _switch(False, "allow a listener outside this machine although there is no access control yet")
    workers: int = _count(1, 1, 64, "how many processes serve requests")
    preparers: int = _count(
        1, 0, 64, "processes in which each worker checks large Bundles, started when one comes; 0: none"
    )
    drain_seconds: int = _count(10, 1, 3_600, "how long running requests may take to finish when the server stops")

    # --- at the start ------------------------------------------------------------------------------------------------

    demo: bool = _switch(False, "load two real CPTS with fictitious members and slots of the coming days")
    definitions: bool = _switch(True, "store this project's own profiles, code systems and the like at the start")
    packages: str = _row(
        "", read_folder, "FOLDER", "a folder of FHIR packages (.tgz), whose definitions are stored at the start"
    )

    # --- URLs, proxies, browsers -------------------------------------------------------------------------------------

    base_url: tuple[str, ...] = _row(
        (),
        read_urls,
        "URL[,URL]",
        "the service base URL that clients use; the first is written, the others are understood too",
    )
    trusted_proxies: tuple[str, ...] = _row(
        (),
        read_networks,
        "ADDRESS[,ADDRESS]",
        "the proxies, addresses or networks, whose forwarded headers say which base URL a client uses",
    )
    cors_origins: tuple[str, ...] = _row(
        (), read_origins, "ORIGIN[,ORIGIN]", "the web pages that browsers let call this server, by origin; * is all"
    )

    # --- TLS and clients ---------------------------------------------------------------------------------------------

    tls_certificate: str = _file("the server's certificate and those between it and its authority (PEM): TLS alone")
    tls_key: str = _file("the key of the certificate (PEM), if it is not in the same file")
    tls_key_password: str = field(
        default="",
        repr=False,
        metadata={"read": str, "metavar": "", "help": "what opens an encrypted key", "is_secret": True},
    )
    client_authorities: str = _file("the authorities (PEM or DER) whose client certificates are accepted")
    client_crls: tuple[str, ...] = _row(
        (), read_files, "FILE[,FILE]", "their revocation lists (PEM or DER), read again when they change"
    )
    clients: str = _row(
        "",
        read_subjects,
        "SUBJECT[;SUBJECT]|@FILE",
        "the clients that are let in, each by CN and OU, as CN=sas.example.org,OU=1259999068; or a file of them",
    )
    clients_everywhere: bool = _switch(
        False, "let only these clients in on every path, not on the SAS base paths alone"
    )
    client_header: str = _row(
        "", read_header, "NAME", "the header in which a trusted proxy tells the subject of a client's certificate"
    )
    client_verify_header: str = _row(
        "", read_header, "NAME", "the header in which it tells SUCCESS if it has verified the certificate"
    )

    # --- what is served and stored -----------------------------------------------------------------------------------

    types: tuple[str, ...] = _row(
        tuple(sorted(DEFAULT_TYPES)), read_types, "TYPE[,TYPE]", "the resource types that are served"
    )
    zone: ZoneInfo = _row(  # noqa: RUF009 a ZoneInfo never changes
        PARIS, read_zone, "ZONE", "the time zone of dates written without one"
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
        read_profiles,
        "PROFILE[,PROFILE]",
        "the profiles that resources must conform to when they are written, by canonical URL; Type=URL for one type",
    )
    claimed_profiles: str = _choice(
        "note",
        ("ignore", "note", "warn", "enforce"),
        "what becomes of a write that claims a profile: a warning if it is not loaded, or if the resource breaks it",
    )

    # --- national identifiers ----------------------------------------------------------------------------------------

    production: bool = _switch(False, "hold real patients only: test and demonstration identities (INS) are refused")
    check_digits: str = _choice(
        "warn", ("warn", "refuse"), "what becomes of a national identifier whose check digit is wrong"
    )
    unique_identifiers: bool = _switch(True, "keep a national identifier to one active resource of its family")

    # --- bookings ----------------------------------------------------------------------------------------------------

    booking: bool = _switch(
        True, "let appointments take their slots and free them; off for the mirror of another agenda"
    )
    parallel_slots: bool = _switch(False, "let a schedule offer a slot at a time when another slot of it is held")
    actor_overlap: str = _choice(
        "off", ("off", "warn", "refuse"), "what becomes of an appointment at whose time one of its actors has another"
    )

    # --- the SAS -----------------------------------------------------------------------------------------------------

    sas_paths: tuple[str, ...] = _row(
        ("/sas",),
        read_sas_paths,
        "PATH[;OPTION=VALUE][,PATH]",
        "the base paths that the SAS platform calls, each with its guide, actors, time and url; off: none",
    )
    sas_listen: str = _row(
        "", read_place, "ADDRESS:PORT", "a listener for the SAS base paths alone, which the other one then refuses"
    )
    sas_tls_certificate: str = _file("the certificate of this listener (PEM), if it has another one")
    sas_tls_key: str = _file("the key of that certificate (PEM), if it is not in the same file")
    sas_rdv: bool = _switch(False, "receive appointments on the SAS base paths, as the national platform does")
    sas_results: int = _count(10_000, 1, 100_000, "most matches of one answer to the SAS platform")
    sas_identifiers: int = _count(100, 1, 1_000, "most identifiers in one request of the SAS platform")

    # --- limits ------------------------------------------------------------------------------------------------------

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
    operation_wait_seconds: float = _seconds(10.0, 0.0, 3_600, "longest time an operation waits for those at work")

    # --- logs --------------------------------------------------------------------------------------------------------

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
        return {setting.variable: written(value) or "off" for setting, value in values if value != setting.default}

    @property
    def is_loopback(self) -> bool:
        """Whether the listener can be reached from this machine only."""
        return _is_loopback(self.host)

    @property
    def origin(self) -> str:
        """The listener's own scheme, host and port, as this machine can reach it."""
        return _origin(self.host, self.port, is_tls=bool(self.tls_certificate))

    @property
    def sas_host(self) -> str:
        """The address of the listener of the SAS base paths; empty where there is none."""
        return self.sas_listen.rpartition(":")[0].strip("[]")

    @property
    def sas_port(self) -> int | None:
        """The port of the listener of the SAS base paths; None where there is none."""
        return int(self.sas_listen.rpartition(":")[2]) if self.sas_listen else None

    @property
    def sas_origin(self) -> str:
        """Scheme, host and port at which this machine reaches the SAS base paths."""
        if self.sas_port is None:
            return self.origin
        return _origin(self.sas_host, self.sas_port, is_tls=bool(self.sas_certificate))

    @property
    def sas_certificate(self) -> str:
        """The certificate of the listener of the SAS base paths; empty: it has no TLS."""
        return self.sas_tls_certificate or self.tls_certificate

    @property
    def is_sas_controlled(self) -> bool:
        """Whether nobody comes in on the listener of the SAS base paths but with a certificate that is listed."""
        return bool(self.sas_listen and self.sas_certificate and self.client_authorities and self.clients)

    @property
    def bases(self) -> tuple[str, ...]:
        """The service base URLs without a final slash: all are ours in references, the first is written."""
        if self.base_url:
            return self.base_url
        scheme = self.origin.partition(":")[0]
        others = (f"{scheme}://{name}:{self.port}{BASE_PATH}" for name in ("localhost", "127.0.0.1"))
        return tuple(dict.fromkeys((self.origin + BASE_PATH, *others)))

    @property
    def is_mongodb(self) -> bool:
        """Whether resources are kept in MongoDB."""
        return self.store.partition(":")[0] in MONGODB

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
            hint = nearest(name, known) or "; fhir-server serve --help lists them"
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

    _refuse_tls(settings, called)


def _refuse_tls(settings: Settings, called: Mapping[str, str]) -> None:
    """Raise ``SettingsError`` where what was told of TLS and of its clients would not do what it says."""
    has_tls = bool(settings.tls_certificate or settings.sas_tls_certificate)
    for name, needed in (
        ("tls_key", settings.tls_certificate),
        ("tls_key_password", has_tls),
        ("sas_tls_certificate", settings.sas_listen),
        ("sas_tls_key", settings.sas_tls_certificate),
        ("sas_listen", settings.sas_paths),
        ("client_authorities", has_tls),
        ("client_authorities", settings.clients),
        ("client_crls", settings.client_authorities),
        ("client_header", settings.trusted_proxies),
        ("client_header", settings.clients),
        ("client_verify_header", settings.client_header),
        ("clients", settings.client_authorities or settings.client_header),
        ("clients_everywhere", settings.clients and (settings.tls_certificate or settings.client_header)),
    ):
        if getattr(settings, name) and not needed:
            raise SettingsError(f"{called[name]} {_NEEDS[name]}.")
    if settings.sas_port and settings.sas_port == settings.port:
        raise SettingsError(f"{called['sas_listen']}: port {settings.port} is that of {called['port']}.")
    if not (settings.unprotected or settings.is_sas_controlled or _is_loopback(settings.sas_host or "localhost")):
        raise SettingsError(
            f"{called['sas_listen']}: {settings.sas_host} can be reached from other machines; demand certificates with "
            f"{called['sas_tls_certificate']}, {called['client_authorities']} and {called['clients']}, "
            "or keep 127.0.0.1."
        )


_NEEDS: Final = {
    "tls_key": "is the key of a certificate: give FHIR_TLS_CERTIFICATE too",
    "tls_key_password": "opens the key of a certificate: give FHIR_TLS_CERTIFICATE too",
    "sas_tls_certificate": "is for a listener of the SAS base paths: give FHIR_SAS_LISTEN too",
    "sas_tls_key": "is the key of a certificate: give FHIR_SAS_TLS_CERTIFICATE too",
    "sas_listen": "is for the SAS base paths, and FHIR_SAS_PATHS says that there are none",
    "client_authorities": "needs TLS, and a list of those whom it lets in: FHIR_TLS_CERTIFICATE and FHIR_CLIENTS",
    "client_crls": "needs the authorities whose lists these are: FHIR_CLIENT_AUTHORITIES",
    "client_header": "is read from trusted proxies, and held against a list: FHIR_TRUSTED_PROXIES and FHIR_CLIENTS",
    "client_verify_header": "comes beside the subject: give FHIR_CLIENT_HEADER too",
    "clients": "lets nobody in: give FHIR_CLIENT_AUTHORITIES and a certificate, or FHIR_CLIENT_HEADER",
    "clients_everywhere": "needs those whom it lets in, FHIR_CLIENTS, and FHIR_TLS_CERTIFICATE or FHIR_CLIENT_HEADER",
}
"""What a setting is good for: the end of a sentence that begins with its name."""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _origin(host: str, port: int, *, is_tls: bool) -> str:
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 nothing is bound here
    scheme = "https" if is_tls else "http"
    return f"{scheme}://[{reached}]:{port}" if ":" in reached else f"{scheme}://{reached}:{port}"


def _sentence(text: str) -> str:
    return text if text.endswith(("?", ".")) else text + "."
