"""Keeping provider calls out of private networks, unless the connection allows it.

Every address that a name resolves to is looked at, at the moment of connecting, so that a name cannot change its address in
between. Addresses in every notation end up here, because anything but a plain literal goes through the resolver.
"""

from __future__ import annotations

import ipaddress
import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from tidemill.core.errors import Denied

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address (also one that carries another inside) is one of the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast


def check_literal(host: str) -> None:
    """Raise `Denied` when `host` is an IP address that is not public; a name passes, and is checked when it is resolved."""
    try:
        public = is_public(host)
    except ValueError:
        return
    if not public:
        raise refused(host)


def refused(host: str) -> Denied:
    """The error for a host in a private network."""
    return Denied(
        f"{host} is in a private network, where provider calls do not go by default",
        hint="If that is where the model runs, write allow_private: true in the connection.",
    )


class PublicResolver(AbstractResolver):
    """Resolves names, and refuses those with any address that is not public."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """The addresses of `host`. Raises `Denied` when one of them is private, and `OSError` when there is none."""
        found = await self._inner.resolve(host, port, family)
        if not all(is_public(each["host"]) for each in found):
            raise refused(host)
        return found

    async def close(self) -> None:
        """Release the resolver below."""
        await self._inner.close()
