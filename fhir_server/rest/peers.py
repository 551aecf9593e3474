"""The peers whose headers are believed: proxies, by address or by network."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.types import Scope


class Trusted:
    """Tells whether a request comes from one of these addresses or networks."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ip_network(one) for one in networks)
        self._is_among = lru_cache(maxsize=1024)(self._among)

    def has_sent(self, scope: Scope) -> bool:
        """Tell whether the peer of a connection is trusted."""
        peer = scope.get("client")
        return peer is not None and self._is_among(peer[0])

    def _among(self, peer: str) -> bool:
        try:
            address = ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)
