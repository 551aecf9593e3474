"""The table of settings: what each is called, its default, how its text is read, what it is for.

Each field of ``Table`` is a row: field ``page_maximum`` is the variable ``FHIR_PAGE_MAXIMUM`` and the flag
``--page-maximum``. ``docs/settings.md`` lists them all, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from fhir_server.definitions.registry import DEFAULT_TYPES
from fhir_server.setting_values import (
    PREFIX,
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

T = TypeVar("T")

PARIS: Final = ZoneInfo("Europe/Paris")


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
class Table:
    """What a server was told, a row for each setting."""

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

    demo: bool = _switch(
        False, "load two real CPTS with fictitious members, a fictitious SOS Médecins, and slots of the coming days"
    )
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
