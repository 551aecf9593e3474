"""The settings of a server: read from flags and from the environment, refused with one sentence.

What settings there are stands in ``setting_table``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from fhir_server.setting_table import PARIS, Setting, Table
from fhir_server.setting_values import BASE_PATH, MONGODB, PREFIX, nearest, written

__all__ = ["BASE_PATH", "PARIS", "SETTINGS", "Setting", "Settings", "SettingsError", "StartError"]

NOT_SETTINGS: Final = ("FHIR_TEST_", "FHIR_TORTURE")
"""What the variables of the test suite begin with: they stop no start and change nothing."""


class StartError(Exception):
    """The server cannot start; the text is one sentence for the person who started it."""


class SettingsError(StartError):
    """A setting is unknown or impossible; the text names it and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Table):
    """What a server was told; ``read`` checks each value, and that no two contradict each other."""

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
