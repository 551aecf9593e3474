"""An authority of tests: it makes certificates of servers and clients, and says which of them are revoked."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CN, OU = "sas.example.org", "1259999068"
"""Those of the client that is let in."""

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Made:
    """A certificate with its key, in one file."""

    path: Path
    certificate: x509.Certificate

    def client(self) -> ssl.SSLContext:
        """Return what a client connects with that shows this certificate."""
        context = anonymous()
        context.load_cert_chain(self.path)
        return context


def anonymous() -> ssl.SSLContext:
    """Return what a client connects with that shows no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Authority:
    """Keeps what it makes in a folder; ``path`` is its own certificate."""

    def __init__(self, folder: Path, name: str = "Autorité d'essai") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(((NameOID.COMMON_NAME, name),))
        self.certificate = (
            _begun(self._name, self._name, self._key.public_key(), -DAY, 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.path = folder / f"{hash(self):x}-authority.pem"
        self.path.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def client(
        self,
        cn: str = CN,
        ous: Iterable[str] = (OU,),
        *,
        begin: timedelta = -DAY,
        end: timedelta = DAY,
        is_server: bool = False,
        password: bytes | None = None,
    ) -> Made:
        """Return a certificate, valid from ``begin`` to ``end`` from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        parts = [(NameOID.COUNTRY_NAME, "FR"), (NameOID.ORGANIZATION_NAME, "Éditeur, fictif")]
        parts += [(NameOID.ORGANIZATIONAL_UNIT_NAME, ou) for ou in ous]
        usage = ExtendedKeyUsageOID.SERVER_AUTH if is_server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = _begun(_name((*parts, (NameOID.COMMON_NAME, cn))), self._name, key.public_key(), begin, end)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        return _kept(self._folder, builder.sign(self._key, hashes.SHA256()), key, password)

    def server(self, password: bytes | None = None) -> Made:
        return self.client("127.0.0.1", (), is_server=True, password=password)

    def revoke(
        self,
        path: Path,
        revoked: Sequence[Made] = (),
        *,
        until: timedelta = DAY,
        encoding: Encoding = Encoding.PEM,
    ) -> Path:
        """Write the revocation list to a file."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        builder = builder.last_update(now - 2 * DAY).next_update(now + until)
        for made in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(made.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(now - DAY).build())
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(encoding))
        return path


def self_signed(folder: Path) -> Made:
    """Return a certificate with the right names that nobody stands for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(((NameOID.ORGANIZATIONAL_UNIT_NAME, OU), (NameOID.COMMON_NAME, CN)))
    return _kept(folder, _begun(name, name, key.public_key(), -DAY, DAY).sign(key, hashes.SHA256()), key)


def _kept(
    folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, password: bytes | None = None
) -> Made:
    path = folder / f"{certificate.serial_number}.pem"
    closed: KeySerializationEncryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, closed)
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + private)
    return Made(path, certificate)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begin: timedelta, end: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now + begin).not_valid_after(now + end)


def _name(parts: Iterable[tuple[x509.ObjectIdentifier, str]]) -> x509.Name:
    return x509.Name([x509.NameAttribute(type_, value) for type_, value in parts])
