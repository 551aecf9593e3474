"""Where the server listens: the ordinary listener, and that of the SAS base paths, each with TLS of its own or none."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import ip_address
from typing import NamedTuple, cast

from fhir_server.rest.tls import Renewed, TlsError, TlsFiles
from fhir_server.settings import Settings, SettingsError, StartError


class _Place(NamedTuple):
    """Where to listen, and what the person who starts the server calls it."""

    host: str
    port: int
    called: str
    """What the setting of the host was given as."""
    host_flag: str
    port_flag: str
    may_be_reached: bool
    """From other machines."""


@contextmanager
def listening(settings: Settings, called: Mapping[str, str]) -> Iterator[list[socket.socket]]:
    """Give listening sockets, so that the ports are ours before anything is loaded; that of the SAS is the second."""
    places = [_Place(settings.host, settings.port, called["host"], "--host", "--port", settings.unprotected)]
    if settings.sas_port is not None:
        may = settings.unprotected or settings.is_sas_controlled
        flag = "--sas-listen"
        places.append(_Place(settings.sas_host, settings.sas_port, called["sas_listen"], flag, flag, may))
    with ExitStack() as stack:
        yield [stack.enter_context(_listen(place)) for place in places]


def taken(settings: Settings, listeners: list[socket.socket]) -> Settings:
    """Return the settings with the ports that were taken."""
    ports = [listener.getsockname()[1] for listener in listeners]
    settings = replace(settings, port=ports[0])
    if settings.sas_listen:
        host = settings.sas_listen.rpartition(":")[0]
        settings = replace(settings, sas_listen=f"{host}:{ports[1]}")
    return settings


def contexts(settings: Settings) -> dict[int, Renewed]:
    """Return the TLS of each port that has it. Raises ``SettingsError`` for files that make none."""
    wanted: dict[int, TlsFiles] = {}
    if settings.tls_certificate:
        asks = settings.clients_everywhere or not settings.sas_listen
        wanted[settings.port] = _with_clients(
            settings, TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_key_password), asks=asks
        )
    if settings.sas_port is not None and settings.sas_certificate:
        key = settings.sas_tls_key if settings.sas_tls_certificate else settings.tls_key
        files = TlsFiles(settings.sas_certificate, key, settings.tls_key_password)
        wanted[settings.sas_port] = _with_clients(settings, files, asks=True, demands=not settings.client_header)
    try:
        return {port: Renewed(files) for port, files in wanted.items()}
    except TlsError as error:
        raise SettingsError(f"TLS cannot be served: {error}.") from None


def _with_clients(settings: Settings, files: TlsFiles, *, asks: bool, demands: bool = False) -> TlsFiles:
    if not asks or not settings.client_authorities:
        return files
    return replace(files, authorities=settings.client_authorities, crls=settings.client_crls, is_demanded=demands)


def _listen(place: _Place) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0]
        if not place.may_be_reached and not ip_address(address[0]).is_loopback:
            raise SettingsError(f"{place.called}: {place.host} is {address[0]}, which other machines can reach.")
        return socket.create_server(cast("tuple[str, int]", address), family=family, backlog=2048)
    except OSError as error:
        raise StartError(_why_not(place, error)) from None


def _why_not(place: _Place, error: OSError) -> str:
    host, port = f"{place.host}:{place.port}", place.port
    match error.errno:
        case errno.EADDRINUSE:
            return f"Port {port} of {place.host} is in use by another program; give another with {place.port_flag}."
        case errno.EACCES:
            return f"This user may not listen on {host}; give a port above 1023 with {place.port_flag}."
        case errno.EADDRNOTAVAIL:
            return f"{place.host} is not an address of this machine; give one of its own with {place.host_flag}."
        case _ if isinstance(error, socket.gaierror):
            return f"The host {place.host} is not known here; give an address with {place.host_flag}."
        case _:
            return f"It is not possible to listen on {host}: {error.strerror or error}."
