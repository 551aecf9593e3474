"""What the files of TLS make, and when they change: handshakes in memory, without a socket."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from fhir_server.rest import tls
from fhir_server.rest.protocol import extension
from fhir_server.rest.subjects import read
from fhir_server.rest.tls import Renewed, TlsError, TlsFiles
from tests.rest.authority import CN, DAY, OU, Authority, Made, anonymous


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Made:
    return authority.server()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Look at the files with each connection."""
    monkeypatch.setattr(tls, "LOOK_AGAIN", 0.0)
    yield


def shaken(context: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """Return the server's end of a connection. Raises what ends the handshake there."""
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, theirs = context.wrap_bio(here, there, server_side=True), client.wrap_bio(there, here)
    for _ in range(4):
        for end in (theirs, ours):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    ours.do_handshake()
    return ours


def refused(context: ssl.SSLContext, client: ssl.SSLContext, caplog: pytest.LogCaptureFixture) -> str:
    """Return the reason that is logged."""
    caplog.clear()
    with pytest.raises(ssl.SSLError):
        shaken(context, client)
    [record] = [record for record in caplog.records if record.getMessage() == "client refused"]
    return str(record.__dict__["reason"])


def test_extension_tells_the_certificate(authority: Authority, server: Made) -> None:
    context = Renewed(TlsFiles(str(server.path), authorities=str(authority.path)))
    made = authority.client('Éditeur, "fictif" ', (OU, "autre+"))
    told = extension(shaken(context, made.client()))
    assert read(told["client_cert_name"]).cns == ('Éditeur, "fictif" ',)
    assert read(told["client_cert_name"]).ous == (OU, "autre+")
    assert told["client_cert_chain"] == [ssl.DER_cert_to_PEM_cert(made.certificate.public_bytes(Encoding.DER))]
    assert told["tls_version"] == 0x0304


def test_certificate_is_asked_for_where_there_are_authorities(authority: Authority, server: Made) -> None:
    asks = Renewed(TlsFiles(str(server.path), authorities=str(authority.path)))
    assert extension(shaken(asks, anonymous()))["client_cert_name"] is None
    asks_not = Renewed(TlsFiles(str(server.path)))
    assert extension(shaken(asks_not, authority.client().client()))["client_cert_name"] is None


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_list_of_revocations_is_read_in_both_forms_and_again(
    authority: Authority, server: Made, tmp_path: Path, encoding: Encoding, caplog: pytest.LogCaptureFixture
) -> None:
    authorities = tmp_path / "authorities"
    authorities.write_bytes(authority.certificate.public_bytes(encoding))
    crl = authority.revoke(tmp_path / "crl", encoding=encoding)
    context = Renewed(TlsFiles(str(server.path), authorities=str(authorities), crls=(str(crl),)))
    made = authority.client()
    client = made.client()
    shaken(context, client)
    authority.revoke(crl, [made], encoding=encoding)
    assert refused(context, client, caplog) == "revoked"
    authority.revoke(crl, until=-timedelta(hours=1), encoding=encoding)
    assert refused(context, client, caplog) == "crl-expired"
    Authority(tmp_path).revoke(crl, encoding=encoding)
    assert refused(context, client, caplog) == "crl-invalid"
    Authority(tmp_path, "Autre").revoke(crl, encoding=encoding)
    assert refused(context, client, caplog) == "crl-missing"
    authority.revoke(crl, encoding=encoding)
    shaken(context, client)


def test_file_that_cannot_be_read_any_more_changes_nothing_and_is_logged_once(
    authority: Authority, server: Made, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    revoked = authority.client()
    crl = authority.revoke(tmp_path / "crl.pem", [revoked])
    context = Renewed(TlsFiles(str(server.path), authorities=str(authority.path), crls=(str(crl),)))
    crl.write_bytes(b"half a li")
    assert refused(context, revoked.client(), caplog) == "revoked"
    assert "cannot be read as a revocation list" in caplog.text
    crl.unlink()
    assert refused(context, revoked.client(), caplog) == "revoked"
    assert f"{crl} cannot be read: No such file" in caplog.text
    assert refused(context, revoked.client(), caplog) == "revoked"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    authority.revoke(crl)
    shaken(context, revoked.client())


def test_renewed_certificate_is_served(authority: Authority, tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    path.write_bytes(authority.server().path.read_bytes())
    context = Renewed(TlsFiles(str(path)))
    shaken(context, anonymous())
    other = authority.server()
    path.write_bytes(other.path.read_bytes())
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, theirs = context.wrap_bio(here, there, server_side=True), anonymous().wrap_bio(there, here)
    for end in (theirs, ours):
        with pytest.raises(ssl.SSLWantReadError):
            end.do_handshake()
    theirs.do_handshake()
    assert theirs.getpeercert(binary_form=True) == other.certificate.public_bytes(Encoding.DER)


def test_no_session_is_resumed_past_a_revocation(
    authority: Authority, server: Made, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = authority.client()
    crl = authority.revoke(tmp_path / "crl.pem")
    context = Renewed(TlsFiles(str(server.path), authorities=str(authority.path), crls=(str(crl),)))
    client = made.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, theirs = context.wrap_bio(here, there, server_side=True), client.wrap_bio(there, here)
    for end in (theirs, ours, theirs, ours, theirs):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    session = theirs.session
    assert session is not None
    authority.revoke(crl, [made])
    caplog.clear()
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, theirs = context.wrap_bio(here, there, server_side=True), client.wrap_bio(there, here, session=session)
    for end in (theirs, ours, theirs, ours):
        with pytest.raises(ssl.SSLWantReadError):
            end.do_handshake()
    assert caplog.records[-1].__dict__["reason"] == "revoked"
    with pytest.raises(ssl.SSLError, match="ALERT_CERTIFICATE_REVOKED"):
        theirs.do_handshake()
    with pytest.raises(ssl.SSLCertVerificationError):
        ours.do_handshake()


def test_only_what_stands_in_the_file_is_trusted(
    authority: Authority, server: Made, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = Renewed(TlsFiles(str(server.path), authorities=str(authority.path)))
    assert refused(context, Authority(tmp_path, CN).client().client(), caplog) == "unknown-issuer"
    old = authority.client(begin=-2 * DAY, end=-DAY)
    assert refused(context, old.client(), caplog) == "expired"


def test_files_that_make_no_tls_are_told(authority: Authority, server: Made, tmp_path: Path) -> None:
    other, empty = tmp_path / "other", tmp_path / "empty"
    other.write_text("no certificate", encoding="utf-8")
    empty.touch()
    closed = authority.server(b"secret")
    name, trusted = str(server.path), str(authority.path)
    for files, text in (
        (TlsFiles(str(tmp_path / "none")), "none cannot be read: No such file"),
        (TlsFiles(str(other)), "as a certificate and its key: there is no certificate in PEM"),
        (TlsFiles(trusted), "as a certificate and its key: there is no key in PEM"),
        (TlsFiles(name, str(closed.path)), "and .* as a certificate and its key: the key is encrypted"),
        (TlsFiles(name, str(authority.server().path)), "the key is that of another certificate"),
        (TlsFiles(str(closed.path)), "the key is encrypted, and FHIR_TLS_KEY_PASSWORD does not open it"),
        (TlsFiles(str(closed.path), password="wrong"), "does not open it"),  # noqa: S106 it is
        (TlsFiles(name, authorities=str(other)), "cannot be read as certificates of authorities"),
        (TlsFiles(name, authorities=str(empty)), "cannot be read as certificates of authorities"),
        (TlsFiles(name, authorities=trusted, crls=(str(empty),)), "cannot be read as a revocation list"),
        (TlsFiles(name, authorities=trusted, crls=(trusted,)), "as a revocation list: it holds something else"),
    ):
        with pytest.raises(TlsError, match=text):
            Renewed(files)
    Renewed(TlsFiles(str(closed.path), password="secret"))  # noqa: S106 as above
    assert "secret" not in repr(TlsFiles(str(closed.path), password="secret"))  # noqa: S106 as above
