"""Webhooks and e-mail against real receivers on loopback: signed, cut off when they hang, never redirected, never private."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac

import pytest
from aiohttp import web

from tidemill.core.errors import Denied, Invalid, Unavailable
from tidemill.monitor.deliver import post_webhook, send_email, sign
from tidemill.monitor.spec import Email, Webhook

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "tide")


@contextlib.asynccontextmanager
async def receiver(handle):
    app = web.Application()
    app.router.add_post("/hook", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


def hook(url: str, **more) -> Webhook:
    return Webhook.model_validate({"url": url, "secret": "env:HOOK_SECRET", "allow_private": True, **more})


def answering(status: int, **headers):
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers)

    return handle


async def test_a_webhook_is_signed_over_time_and_body() -> None:
    seen = {}

    async def handle(request: web.Request) -> web.Response:
        seen.update(request.headers, body=await request.read())
        return web.Response(status=204)

    async with receiver(handle) as url:
        assert "204" in await post_webhook(hook(url), b'{"a":1}', delivery="d1", timestamp=1_700_000_000)
    expected = hmac.new(b"tide", b"1700000000." + seen["body"], hashlib.sha256).hexdigest()
    assert seen["x-tidemill-signature"] == f"v1={expected}"
    assert seen["x-tidemill-timestamp"] == "1700000000"
    assert seen["x-tidemill-delivery"] == "d1"
    assert seen["body"] == b'{"a":1}'
    assert sign("tide", timestamp=1, body=b"x") != sign("tide", timestamp=2, body=b"x")


async def test_a_webhook_that_hangs_is_cut_off() -> None:
    released = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    async with receiver(handle) as url:
        with pytest.raises(Unavailable, match=r"did not answer within 0\.2 s, and was cut off"):
            await post_webhook(hook(url, timeout=0.2), b"{}", delivery="d", timestamp=1)
        released.set()


async def test_a_redirect_is_not_followed() -> None:
    async with receiver(answering(302, location="http://127.0.0.1:1/else")) as url:
        with pytest.raises(Invalid, match="302, a redirect, which is not followed"):
            await post_webhook(hook(url), b"{}", delivery="d", timestamp=1)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.7", "[::1]", "169.254.169.254", "localhost"])
async def test_a_private_address_is_refused(host: str) -> None:
    with pytest.raises(Denied, match="private network"):
        await post_webhook(hook(f"http://{host}:9/hook", allow_private=False), b"{}", delivery="d", timestamp=1)


@pytest.mark.parametrize(("status", "kind"), [(500, Unavailable), (429, Unavailable), (404, Invalid), (401, Invalid)])
async def test_what_may_pass_is_told_from_what_will_not(status: int, kind: type[Exception]) -> None:
    async with receiver(answering(status)) as url:
        with pytest.raises(kind, match=str(status)):
            await post_webhook(hook(url), b"{}", delivery="d", timestamp=1)


async def test_nobody_there_may_pass() -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        await post_webhook(hook("http://127.0.0.1:9/hook"), b"{}", delivery="d", timestamp=1)


async def test_without_its_secret_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK_SECRET")
    with pytest.raises(Denied, match="HOOK_SECRET"):
        await post_webhook(hook("http://127.0.0.1:9/hook"), b"{}", delivery="d", timestamp=1)


class Mailbox:
    """Speaks as much SMTP as a client needs; keeps what it was sent."""

    def __init__(self, *, refuse: bool = False, silent: bool = False) -> None:
        self.lines: list[str] = []
        self.refuse, self.silent = refuse, silent
        self.done = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.silent:
                await self.done.wait()
                return
            await self._talk(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 tide\r\n")
        in_message = False
        while line := (await reader.readline()).decode():
            self.lines.append(line.strip())
            if in_message:
                in_message = line != ".\r\n"
                if not in_message:
                    writer.write(b"250 kept\r\n")
            elif line.upper().startswith("DATA"):
                in_message = True
                writer.write(b"354 go on\r\n")
            elif line.upper().startswith("QUIT"):
                writer.write(b"221 bye\r\n")
                return
            elif line.upper().startswith("RCPT") and self.refuse:
                writer.write(b"550 nobody\r\n")
            else:
                writer.write(b"250 ok\r\n")


@contextlib.asynccontextmanager
async def mailbox(**how):
    box = Mailbox(**how)
    server = await asyncio.start_server(box.serve, "127.0.0.1", 0)
    try:
        yield box, f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        box.done.set()
        server.close()
        await server.wait_closed()


def letter(server: str, **more) -> Email:
    told = {"server": server, "to": ["ops@example.org"], "from": "tide@example.org", "starttls": False, "allow_private": True}
    return Email.model_validate({**told, **more})


async def test_an_e_mail_arrives() -> None:
    async with mailbox() as (box, server):
        assert await send_email(letter(server), subject="drift\nBcc: x", text="It moved.") == "sent to ops@example.org"
    assert "RCPT TO:<OPS@EXAMPLE.ORG>" in {line.upper() for line in box.lines}
    assert "Subject: drift Bcc: x" in box.lines  # a line break in it makes no header of its own
    assert "It moved." in box.lines


async def test_an_e_mail_that_nobody_takes() -> None:
    async with mailbox(refuse=True) as (_, server):
        with pytest.raises(Invalid, match="refused every recipient"):
            await send_email(letter(server), subject="s", text="t")


async def test_a_mail_server_that_hangs_is_cut_off() -> None:
    async with mailbox(silent=True) as (_, server):
        with pytest.raises(Unavailable, match=r"did not answer within 0\.2 s|cannot be reached"):
            await send_email(letter(server, timeout=0.2), subject="s", text="t")


async def test_a_private_mail_server_is_refused() -> None:
    with pytest.raises(Denied, match="private network"):
        await send_email(letter("smtp://127.0.0.1:25", allow_private=False), subject="s", text="t")
