"""What goes out by itself stays out of private networks, however an address is written and whatever a name resolves to."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket

import aiohttp
import pytest
from yarl import URL

from tidemill.core.chat import Connection
from tidemill.core.errors import Denied, TidemillError
from tidemill.models.guard import PrivateAddress, check_host, connector, is_private, is_public
from tidemill.models.wire import Wire
from tidemill.monitor.deliver import post_webhook
from tidemill.monitor.spec import Webhook
from tidemill.testing.upstreams import scripted_upstream

pytestmark = pytest.mark.anyio

WAYS = (
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.0.0.1", "127.0.0.1.", "localhost",
    "LOCALHOST", "localhost.", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]",
    "127。0。0。1", "①②⑦.⓪.⓪.①", "１２７.0.0.1", "ⓛocalhost",
)  # fmt: skip
"""Loopback, in as many notations as there are."""


@pytest.fixture
def anyio_backend():
    return "asyncio"


@contextlib.asynccontextmanager
async def wired():
    wire = Wire("openai")
    try:
        yield wire
    finally:
        await wire.close()


@pytest.mark.parametrize("host", WAYS)
async def test_no_way_to_write_loopback_gets_past(host, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "tide")
    connection = Connection(name="c", provider="openai", timeout=5)
    async with scripted_upstream() as upstream, wired() as wire:
        port = upstream.url.split(":")[2].split("/")[0]
        with pytest.raises(TidemillError) as refused:
            await wire.ask(f"http://{host}:{port}/v1/chat/completions", {}, headers={}, connection=connection, secret=None)
        hook = Webhook.model_construct(
            url=f"http://{host}:{port}/hook", secret="env:HOOK_SECRET", timeout=5, allow_private=False
        )
        with pytest.raises((TidemillError, ValueError)):
            await post_webhook(hook, b"{}", delivery="d", timestamp=1)
        assert not upstream.asked
    assert isinstance(refused.value, Denied) or "cannot be" in refused.value.message


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("::ffff:93.184.216.34", True), ("64:ff9b::5db8:d822", True),
        ("10.0.0.1", False), ("172.16.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False),
        ("0.0.0.0", False), ("255.255.255.255", False), ("224.0.0.1", False), ("192.0.0.8", False), ("198.18.0.1", False),
        ("::", False), ("fe80::1", False), ("fe80::1%eth0", False), ("fc00::1", False), ("fec0::1", False), ("ff02::1", False),
        ("2002:7f00:1::", False), ("64:ff9b::a00:1", False), ("64:ff9b:1::7f00:1", False), ("::7f00:1", False),
        ("::ffff:0:7f00:1", False), ("fd00:ec2::254", False),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address, public):
    assert is_public(address) is public


class Names:
    """A name server that gives the next answer each time it is asked."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.connected: list[str] = []

    async def getaddrinfo(self, host, port, **_):
        self.asked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (each, port, 0, 0))
            if ipaddress.ip_address(each).version == 6
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in found
        ]

    async def sock_connect(self, sock, address):
        self.connected.append(address[0])
        raise ConnectionRefusedError(111, "nobody is there")


@contextlib.contextmanager
def resolving(monkeypatch, *answers):
    names, loop = Names(*answers), asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", names.getaddrinfo)
    monkeypatch.setattr(loop, "sock_connect", names.sock_connect)
    yield names


async def _ask(wire):
    await wire.ask(
        "http://rebound.example:9/v1", {}, headers={}, connection=Connection(name="c", provider="openai"), secret=None
    )


async def test_a_name_that_changes_its_address_is_connected_to_where_it_was_looked_at(monkeypatch):
    with resolving(monkeypatch, ("93.184.216.34",), ("127.0.0.1",)) as names:
        async with wired() as wire:
            with pytest.raises(TidemillError, match="cannot be reached"):
                await _ask(wire)
        assert (names.asked, names.connected) == (1, ["93.184.216.34"]), "the address that was checked, and no other"
        async with wired() as wire:
            with pytest.raises(Denied, match="private network"):
                await _ask(wire)
        assert names.connected == ["93.184.216.34"]


@pytest.mark.parametrize("answers", [("93.184.216.34", "10.0.0.1"), ("169.254.169.254",), ("::1",)])
async def test_a_name_with_any_private_address_is_refused(monkeypatch, answers):
    with resolving(monkeypatch, answers) as names:
        async with wired() as wire:
            with pytest.raises(Denied, match="private network"):
                await _ask(wire)
        assert not names.connected


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("127.0.0.1", "::1")])
async def test_what_no_check_before_has_seen_fails_at_the_moment_of_connecting(monkeypatch, addresses):
    async with scripted_upstream() as upstream, aiohttp.ClientSession(connector=connector(allow_private=False)) as session:
        port = int(upstream.url.split(":")[2].split("/")[0])
        found = [
            {"hostname": "x", "host": each, "port": port, "family": 10 if ":" in each else 2, "proto": 6, "flags": 0}
            for each in addresses
        ]

        async def resolve(*_, **__):
            return found

        monkeypatch.setattr(session.connector, "_resolve_host", resolve)
        with pytest.raises(aiohttp.ClientConnectorError) as refused:
            await session.get(f"http://x.example:{port}/")
        assert not upstream.asked
    assert is_private(refused.value)
    assert isinstance(refused.value.os_error, PrivateAddress)


def test_a_name_passes_until_it_is_resolved():
    check_host(URL("http://rebound.example/"))
    with pytest.raises(Denied):
        check_host(URL("http://127。0。0。1/"))
