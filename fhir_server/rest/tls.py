"""TLS of a listener: each connection is made with what the files hold now, and a refused one is logged with its reason.

Files are looked at again with a new connection, at most once a second: a certificate that was renewed, or a revocation
list, counts without a restart. No session is resumed by ticket, since that would pass by the revocation list; those
that OpenSSL remembers go with what the files were.
"""

from __future__ import annotations

import base64
import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from time import monotonic
from typing import Any, Final, Self

_LOG: Final = logging.getLogger(__name__)

LOOK_AGAIN: Final = 1.0
"""Seconds after which a new connection looks at the files again."""

_REASONS: Final = {
    2: "unknown-issuer",
    3: "crl-missing",
    7: "unknown-issuer",
    8: "crl-invalid",
    9: "not-yet-valid",
    10: "expired",
    11: "crl-not-yet-valid",
    12: "crl-expired",
    18: "self-signed",
    19: "unknown-issuer",
    20: "unknown-issuer",
    21: "unknown-issuer",
    23: "revoked",
    26: "wrong-purpose",
}
"""Words for the codes with which OpenSSL says why it does not verify a certificate."""

_OTHERS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "absent",
    "UNSUPPORTED_PROTOCOL": "tls-version",
    "NO_PROTOCOLS_AVAILABLE": "tls-version",
}


class TlsError(Exception):
    """TLS cannot be made of these files; the text says why, in one sentence without its end."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What TLS of a listener is made of; an empty name is none."""

    certificate: str
    key: str = ""
    password: str = field(default="", repr=False)
    authorities: str = ""
    """Those whose client certificates are accepted; empty: clients are not asked for any."""
    crls: tuple[str, ...] = ()
    is_demanded: bool = False
    """Whether a client without a certificate is refused."""

    @property
    def stamp(self) -> tuple[object, ...]:
        """What changes when one of the files does. Raises ``OSError``."""
        names = (self.certificate, self.key, self.authorities, *self.crls)
        found = [Path(name).stat() for name in names if name]
        return tuple((one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in found)


class Renewed(ssl.SSLContext):
    """The TLS of a listener, as its files are. The event loop asks it for nothing but ``wrap_bio``."""

    def __new__(cls, _files: TlsFiles) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, files: TlsFiles) -> None:
        """Raises ``TlsError`` where nothing can be made of the files."""
        self._files = files
        self._stamp = _stamp(files)
        self._context = made(files)
        self._looked = monotonic()
        self._wrong = ""
        """What was last logged to be wrong with the files."""

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Return the TLS of a new connection."""
        now = monotonic()
        if now - self._looked >= LOOK_AGAIN:
            self._looked = now
            self._look()
        return self._context.wrap_bio(*args, **kwargs)

    def _look(self) -> None:
        """Take what the files hold now; where nothing can be made of it, keep what was there, and log it."""
        try:
            stamp = _stamp(self._files)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._context = made(self._files)
        except TlsError as error:
            if str(error) != self._wrong:
                _LOG.error("TLS goes on with what its files were: %s", error)
            self._wrong = str(error)
        else:
            self._wrong = ""
            _LOG.info("the files of TLS have changed and were read again")


class _Handshake(ssl.SSLObject):
    """One end of a connection, which logs why no connection comes of it, and lets the client be told."""

    _refused: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._refused is not None:
            raise self._refused
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            is_client = isinstance(error, ssl.SSLCertVerificationError) or error.reason in _OTHERS
            _LOG.log(logging.WARNING if is_client else logging.INFO, "client refused", extra={"reason": reason(error)})
            self._refused = error
            # for another error the loop would close at once, and not send the alert; a client that stays ends in time
            raise ssl.SSLWantReadError from error


def reason(error: ssl.SSLError) -> str:
    """Return a word for what ended a handshake: one that does not change, and names nobody."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _REASONS.get(error.verify_code, "unverified")
    return _OTHERS.get(error.reason, "handshake")


def made(files: TlsFiles) -> ssl.SSLContext:
    """Return what the files make. Raises ``TlsError``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    context.sslobject_class = _Handshake
    with _told(f"{files.certificate} and {files.key}" if files.key else files.certificate, "a certificate and its key"):
        _load_certificate(context, files)
    if files.authorities:
        context.verify_mode = ssl.CERT_REQUIRED if files.is_demanded else ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the file says all that is trusted, and no more
        with _told(files.authorities, "certificates of authorities"):
            _load_authorities(context, files.authorities)
    for crl in files.crls:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        with _told(crl, "a revocation list"):
            _load_crl(context, crl)
    return context


@contextmanager
def _told(names: str, what: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        raise TlsError(f"{names} cannot be read as {what}{f': {error.reason}' if error.reason else ''}") from None
    except OSError as error:
        raise TlsError(f"{names} cannot be read as {what}: {error.strerror or error}") from None
    except ValueError as error:
        raise TlsError(f"{names} cannot be read as {what}: {error}") from None


def _load_certificate(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Load what the server shows. Raises ``ValueError`` with what OpenSSL does not say."""
    key = Path(files.key or files.certificate).read_bytes()
    if b"-----BEGIN CERTIFICATE-----" not in Path(files.certificate).read_bytes():
        raise ValueError("there is no certificate in PEM")
    if b"PRIVATE KEY-----" not in key:
        raise ValueError("there is no key in PEM")
    try:
        context.load_cert_chain(files.certificate, files.key or None, lambda: files.password)  # never ask a terminal
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError("the key is that of another certificate") from None
        if b"ENCRYPTED" in key:
            raise ValueError("the key is encrypted, and FHIR_TLS_KEY_PASSWORD does not open it") from None
        raise


def _load_authorities(context: ssl.SSLContext, name: str) -> None:
    data = Path(name).read_bytes()
    context.load_verify_locations(cadata=data.decode("ascii", "replace") if _is_pem(data) else data)


def _load_crl(context: ssl.SSLContext, name: str) -> None:
    """Load a revocation list, by way of a file where it is DER, the form in which authorities publish it.

    Raises ``ValueError`` for a file with certificates: they would be trusted.
    """
    data = Path(name).read_bytes()
    if not _is_pem(data):
        data = b"-----BEGIN X509 CRL-----\n" + base64.encodebytes(data) + b"-----END X509 CRL-----\n"
    if b"-----BEGIN X509 CRL-----" not in data or data.count(b"-----BEGIN ") != data.count(b"-----BEGIN X509 CRL-----"):
        raise ValueError("it holds something else")
    with NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        context.load_verify_locations(file.name)


def _is_pem(data: bytes) -> bool:
    return b"-----BEGIN " in data


def _stamp(files: TlsFiles) -> tuple[object, ...]:
    try:
        return files.stamp
    except OSError as error:
        raise TlsError(f"{error.filename} cannot be read: {error.strerror}") from None
