"""sas push-appointments: see ``fhir_server.france.sas.push``, which the composition root gives."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from fhir_server.cli.maintaining import Commands, parser, run, settings_for, told_beside
from fhir_server.cli.speech import number, say
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.settings import Settings

GUIDES: Final = ("1.1.0", "1.2.0")
FILES: Final = {
    "cert": ("SAS_CLIENT_CERT", "our certificate (PEM), for TLS with client certificates"),
    "key": ("SAS_CLIENT_KEY", "its key (PEM), if it is not in the same file"),
    "ca": ("SAS_CA", "the authorities (PEM) that the platform's certificate must come from, instead of the system's"),
}
"""Files that a flag names, or else a variable."""

PASSWORD: Final = "SAS_CLIENT_KEY_PASSWORD"  # noqa: S105 the name of a variable
"""The variable of the password of the key; there is no flag, since others could read it."""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    own = parser(
        commands,
        "push-appointments",
        ("store", "base_url"),
        "Tell the SAS platform of the appointments made for it (INT_R03).",
        "What was sent is kept in a journal, so that it is run again after any interruption.",
    )
    own.add_argument("--to", required=True, metavar="URL", help="the base URL of the platform's appointments")
    own.add_argument("--follow", action="store_true", help="go on until stopped, as appointments are made")
    own.add_argument("--guide", choices=GUIDES, default=GUIDES[-1], help=f"the guide's version [default: {GUIDES[-1]}]")
    own.add_argument("--journal", type=Path, metavar="FILE", help="the journal [default: beside an SQLite store]")
    own.add_argument("--forget-refused", action="store_true", help="try no more what the platform has refused before")
    for name, (variable, text) in FILES.items():
        own.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"{text} [{variable}]")
    own.add_argument("--cleartext", action="store_true", help="allow http:// to another machine, without TLS")
    own.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    to = _url(options.to, is_cleartext=options.cleartext)
    settings = settings_for(options)
    journal = options.journal or _beside(settings)
    counts = run(_push(settings, options, to, journal), "The journal knows what was sent; run it again to go on.")
    say(_summary(counts))
    return int(any(count for name, count in counts.items() if name != "sent"))


async def _push(settings: Settings, options: argparse.Namespace, to: str, journal: Path) -> Mapping[str, int]:
    from fhir_server.app import push_appointments, push_options  # noqa: PLC0415 late: --help must be quick

    wish = push_options(
        to=to,
        journal=journal,
        guide=options.guide,
        tls=_tls(options),
        follow=options.follow,
        forget_refused=options.forget_refused,
    )
    return await push_appointments(settings, wish, told_beside)


def _summary(counts: Mapping[str, int]) -> str:
    named = {"sent": "sent", "refused": "refused", "unsendable": "that cannot be sent", "waiting": "waiting"}
    parts = (f"{number(counts[name])} {text}" for name, text in named.items())
    return f"Messages: {', '.join(parts)}."


def _beside(settings: Settings) -> Path:
    if settings.is_mongodb:
        raise CommandFailed("The store is a database of MongoDB; say with --journal which file keeps what was sent.")
    return settings.sqlite_path.with_suffix(".sas-journal")


def _tls(options: argparse.Namespace) -> dict[str, Any]:
    """Return the files and the password of TLS. Raises ``CommandFailed`` for a key without its certificate."""
    paths = {name: getattr(options, name) or _named(variable) for name, (variable, _) in FILES.items()}
    if paths["key"] is not None and paths["cert"] is None:
        raise CommandFailed("--key: the certificate that it belongs to is missing; give it with --cert.")
    password = os.environ.get(PASSWORD) or None
    return {"certificate": paths["cert"], "key": paths["key"], "authorities": paths["ca"], "password": password}


def _named(variable: str) -> Path | None:
    text = os.environ.get(variable)
    return Path(text) if text else None


def _url(text: str, *, is_cleartext: bool) -> str:
    """Return the base URL of the platform. Raises ``CommandFailed`` for one that cannot be."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment or parts.username is not None:
        raise CommandFailed("--to: this is not an http or https URL without user, query and fragment.")
    if parts.scheme == "http" and not is_cleartext and not _is_here(host):
        raise CommandFailed(f"--to: http:// to {host} would not be encrypted; use https://, or add --cleartext.")
    return text.rstrip("/")


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
