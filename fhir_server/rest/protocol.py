"""HTTP as uvicorn reads it, with bounds on what comes before the application sees anything, and with the TLS extension.

uvicorn hands over a request once its headers are whole, and lets them grow without end; it waits for them, and for the
rest of a body, as long as the client likes. Nor does it tell the certificate of a client.

Spec: https://asgi.readthedocs.io/en/latest/specs/tls.html
"""

from __future__ import annotations

import ssl
from asyncio import TimerHandle, Transport
from itertools import chain
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from fhir_server.rest.patience import BODY_SECONDS, PATIENCE
from fhir_server.rest.subjects import name_of
from fhir_server.rest.upgrade import Declining

UNREAD_BYTES: Final = 131_072
"""Bytes in which nothing is finished: no headers, no piece of a body. Above what ``FHIR_HEADER_BYTES`` can be, for
the application refuses headers with an OperationOutcome as long as they are read."""


FAREWELL: Final = 0.5
"""Seconds in which the client of an idle connection may end its TLS when the server stops."""

_VERSIONS: Final = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


class BoundedProtocol(HttpToolsProtocol):
    """One connection: closed when headers, trailers or what is around chunks grow too long, or come too slowly."""

    parser: Declining
    patience = PATIENCE
    body_seconds = BODY_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = Declining(self)
        self._unread = 0
        self._has_read = False
        self._began: float | None = None
        """When the headers that are being read began; None: none are."""
        self._body_began: float | None = None
        """When the body that is being read began; None: none is."""
        self._came = 0.0
        """When something came last."""
        self._tls: dict[Any, Any] | None = None
        """The TLS extension of each request; None: there is no TLS."""
        self._clock: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        secured = transport.get_extra_info("ssl_object")
        self._tls = None if secured is None else extension(secured)
        self._began = self._came = self.loop.time()
        self._clock = self.loop.call_later(self.patience, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._clock is not None:
            self._clock.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close when the server stops. TLS would wait for the farewell of a client that has not noticed."""
        super().shutdown()
        if self._tls is not None and self.transport.is_closing() and not self.transport.get_write_buffer_size():
            self.loop.call_later(FAREWELL, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        self._has_read = False
        self._came = self.loop.time()
        super().data_received(data)
        self._unread = 0 if self._has_read else self._unread + len(data)
        if self._unread > UNREAD_BYTES and not self.transport.is_closing():
            self._close(431, "The headers of the request are too large.")

    def on_message_begin(self) -> None:
        self._has_read = True
        self._began = self.loop.time()
        super().on_message_begin()
        if self._tls is not None:
            self.scope["extensions"] = {"tls": self._tls}

    def on_headers_complete(self) -> None:
        if self.parser.is_offer():
            return
        self._has_read = True
        self._began = None
        self._body_began = self.loop.time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._has_read = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.is_offer():
            return
        self._has_read = True
        self._body_began = None
        super().on_message_complete()

    def _look(self) -> None:
        """Close the connection if its client has kept us waiting for too long."""
        now = self.loop.time()
        if not self.transport.is_closing():
            since = self._came if self._began is None else self._began
            if (self._is_waiting() and now - since >= self.patience) or self._is_trickled_to(now):
                self._close(408, "The request did not come in time.")
                return
            self._clock = self.loop.call_later(self.patience, self._look)

    def _is_waiting(self) -> bool:
        """Tell whether it is the client's turn. A connection kept alive between requests is uvicorn's to close."""
        if self._began is not None:
            return True
        return self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete

    def _is_trickled_to(self, now: float) -> bool:
        """Tell whether a body that was answered before it was whole, and that nobody reads, still goes on."""
        if self._body_began is None or not self.cycle.response_complete:
            return False
        return now - self._body_began >= self.body_seconds

    def _close(self, status: int, text: str) -> None:
        if self._began is not None and (self.cycle is None or self.cycle.response_complete):
            head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(
                text
            )
            self.transport.write(STATUS_LINE[status] + head + text.encode())
        self.transport.close()


def extension(secured: ssl.SSLObject | ssl.SSLSocket) -> dict[Any, Any]:
    """Return what the TLS extension of ASGI tells of a connection; what is None there is not told."""
    shown = cast("dict[str, tuple[tuple[tuple[str, str], ...], ...]]", secured.getpeercert() or {})
    binary = secured.getpeercert(binary_form=True)
    return {
        "server_cert": None,
        "client_cert_chain": [] if binary is None else [ssl.DER_cert_to_PEM_cert(binary)],
        "client_cert_name": None if binary is None else name_of(chain.from_iterable(shown.get("subject", ()))),
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(secured.version() or ""),
        "cipher_suite": None,
    }
