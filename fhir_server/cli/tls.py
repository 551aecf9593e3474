"""The flags and variables of TLS with client certificates, for the commands that call others."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, Final

from fhir_server.maintenance.progress import CommandFailed

FILES: Final = {
    "cert": ("SAS_CLIENT_CERT", "our certificate (PEM), for TLS with client certificates"),
    "key": ("SAS_CLIENT_KEY", "its key (PEM), if it is not in the same file"),
    "ca": ("SAS_CA", "the authorities (PEM) that the other side's certificate must come from, instead of the system's"),
}
"""Files that a flag names, or else a variable."""

PASSWORD: Final = "SAS_CLIENT_KEY_PASSWORD"  # noqa: S105 the name of a variable
"""The variable of the password of the key; there is no flag, since others could read it."""


def add_tls(parser: argparse.ArgumentParser) -> None:
    """Give a command the flags."""
    for name, (variable, text) in FILES.items():
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"{text} [{variable}]")


def tls_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the files and the password of TLS. Raises ``CommandFailed`` for a key without its certificate."""
    paths = {name: getattr(options, name) or _named(variable) for name, (variable, _) in FILES.items()}
    if paths["key"] is not None and paths["cert"] is None:
        raise CommandFailed("--key: the certificate that it belongs to is missing; give it with --cert.")
    password = os.environ.get(PASSWORD) or None
    return {"certificate": paths["cert"], "key": paths["key"], "authorities": paths["ca"], "password": password}


def _named(variable: str) -> Path | None:
    text = os.environ.get(variable)
    return Path(text) if text else None
