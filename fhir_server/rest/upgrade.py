"""A client that offers another protocol is served as if it did not: Java's own client offers HTTP/2 in each request.

httptools would end such a request before its body, and take the body for the next request.

Spec: https://www.rfc-editor.org/rfc/rfc9110#section-7.8
"""

from __future__ import annotations

from array import array
from typing import Protocol

from httptools import HttpParserUpgrade, HttpRequestParser


class Head(Protocol):
    """What the protocol of a connection notes of a request while it is parsed."""

    url: bytes
    headers: list[tuple[bytes, bytes]]


class Declining(HttpRequestParser):
    """A parser that gives a request with an offer twice: the second time without the offer, and with its body."""

    def __init__(self, protocol: Head) -> None:
        super().__init__(protocol)
        self._protocol = protocol

    def is_offer(self) -> bool:
        """Tell whether the request whose headers were read last is the one with the offer, to be passed over."""
        return self.should_upgrade() and any(name == b"upgrade" for name, _ in self._protocol.headers)

    def feed_data(self, data: bytes | bytearray | memoryview[int] | array[int]) -> None:
        """Read on. Raises what httptools raises, for an offer only that of ``CONNECT``."""
        rest = memoryview(data)
        while rest:
            try:
                super().feed_data(rest)
            except HttpParserUpgrade as upgrade:
                if not self.is_offer():
                    raise
                rest = rest[upgrade.args[0] :]
                super().feed_data(self._without_offer())
            else:
                return

    def _without_offer(self) -> bytes:
        """Return the request line and the headers as they came, but for ``Upgrade``."""
        line = b"%s %s HTTP/%s" % (self.get_method(), self._protocol.url, self.get_http_version().encode())
        kept = [b"%s: %s" % header for header in self._protocol.headers if header[0] != b"upgrade"]
        return b"\r\n".join([line, *kept, b"", b""])
