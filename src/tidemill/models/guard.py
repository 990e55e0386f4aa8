"""Keeping what goes out by itself (calls of providers, webhooks) out of private networks, unless it is allowed there.

It is looked at three times: the host as it is written, every address that a name resolves to, and each address once more at the
moment of connecting to it. So neither a name that changes its address in between nor another way to write one gets past.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from tidemill.core.errors import Denied

_CARRIES: Final = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")))
"""NAT64, compatible and translated addresses: an IPv4 address stands in the last 32 bits."""
_NEVER: Final = tuple(map(ipaddress.ip_network, ("fec0::/10", "64:ff9b:1::/48", "5f00::/16", "3fff::/20", "192.0.0.0/24")))
"""Networks of one site, of documentation or of a protocol, which Python may not know for what they are."""


def is_public(address: str) -> bool:
    """Whether an IP address (also one that carries another inside) is one of the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if any(ip in each for each in _CARRIES):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast and not any(ip in each for each in _NEVER if each.version == ip.version)


def check_host(url: URL) -> None:
    """Raise `Denied` when the host is an IP address that is not public; a name passes, and is checked when it is resolved.

    The URL is the very object that is connected to: others read `127。0。0。1` as a name.
    """
    host = url.host or ""
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


class PrivateAddress(OSError):
    """An address was about to be connected to that is not public."""


def connector(*, allow_private: bool, limit: int = 100) -> aiohttp.TCPConnector:
    """What opens connections, `limit` at a time (0: any number); without `allow_private` to public addresses only.

    Raises `Denied` for a name that leads to a private address; whatever reaches the last check fails with `PrivateAddress`.
    """
    if allow_private:
        return aiohttp.TCPConnector(limit=limit)
    return aiohttp.TCPConnector(limit=limit, resolver=PublicResolver(), socket_factory=_public_socket)


def is_private(error: BaseException) -> bool:
    """Whether a connection failed by the last check."""
    return isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, PrivateAddress)


def _public_socket(
    address: tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]],
) -> socket.socket:
    family, kind, protocol, _, where = address
    if not is_public(str(where[0])):
        raise PrivateAddress("it is in a private network")
    return socket.socket(family, kind, protocol)
