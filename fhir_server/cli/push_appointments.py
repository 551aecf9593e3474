"""sas push-appointments: see ``fhir_server.france.sas.push``, which the composition root gives."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fhir_server.cli.maintaining import Commands, parser, run, settings_for, told_beside
from fhir_server.cli.speech import number, say
from fhir_server.cli.tls import add_tls, tls_of
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.settings import Settings

GUIDES: Final = ("1.1.0", "1.2.0")


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
    add_tls(own)
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
        tls=tls_of(options),
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
