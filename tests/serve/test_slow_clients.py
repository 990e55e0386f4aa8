"""A client that is slow in any way holds little memory, for a bounded time, and nobody else up."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tracemalloc

import orjson
import pytest

from serve.platform import listening, serving
from serve.sockets import CLOSE, platform_at, post, say, served
from tidemill.api.connection import ClientConnection, Patience
from tidemill.serve import exchange as exchanges

pytestmark = pytest.mark.anyio

MODEL = "{kind: model, name: echo, provider: test, reply: high water}"
CHAT = "/v1/chat/completions"
DOORS = (CHAT, "/v1/messages", "/v1/responses", "/v1/completions", "/v1/embeddings", "/v1/moderations")
BODY = orjson.dumps({"model": "model/echo", "messages": [{"role": "user", "content": "?"}]})
SHORT = Patience(head=0.3, idle=0.6, unread=0.3, looks=0.05, head_bytes=16 * 1024)


async def nothing(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"", []),
        (b"\r\n\r\n", [408]),
        (b"GET / HT", [408]),
        (b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ", [408]),
        (b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", [200]),
        (b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\nGET / HTTP/1.1\r\nx-", [200, 408]),
        (b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000\r\n\r\nx", [200]),
    ],
    ids=["nothing", "empty lines", "half a line", "half a head", "no second request", "half a second", "no rest of a body"],
)
async def test_whoever_does_not_go_on_is_let_go(said, status):
    async with served(nothing, patience=SHORT) as port:
        heard = await say(port, said, seconds=8)
    assert heard.statuses == status


async def test_a_head_that_trickles_ends_and_others_are_served_meanwhile(tmp_path):
    async def trickle(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nx-slow: ")
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        if b" 408 " in await reader.read(100):
                            break
        writer.transport.abort()

    async with (
        platform_at(tmp_path, MODEL, patience=SHORT) as (_, port, key),
        asyncio.timeout(20),
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(50):
            tasks.create_task(trickle(port))
        for _ in range(5):
            assert (await say(port, post(CHAT, BODY, key, CLOSE))).statuses == [200]


@pytest.mark.parametrize("piece", [b"x-a: " + b"x" * 4000 + b"\r\n", b"x" * 4000], ids=["headers", "one header"])
async def test_a_head_without_an_end_is_refused(piece):
    async with served(nothing, patience=SHORT) as port:
        heard = await say(port, b"GET / HTTP/1.1\r\nx-long: 1\r\nx-b: ", *[piece] * 2000)
    assert heard.statuses in ([431], []), "refused; whoever writes on may not get to read it"


async def test_a_body_that_trickles_ends_at_every_door(tmp_path, monkeypatch):
    monkeypatch.setattr(exchanges, "_SILENCE", 0.5)
    async with platform_at(tmp_path, MODEL, patience=SHORT) as (platform, port, key):
        for door in DOORS:
            slow = post(door, b"{", key, b"content-length: 1000\r\n", length=False)
            asking = asyncio.create_task(say(port, slow, seconds=20))
            assert (await say(port, post(CHAT, BODY, key, CLOSE))).statuses == [200], "others are served meanwhile"
            heard = await asking
            assert heard.statuses == [408], door
            assert "did not arrive" in heard.body["error"]["message"]
        assert len(platform.spans) == len(DOORS), "only what was whole was traced"


async def test_a_hundred_megabytes_are_refused_in_little_memory(tmp_path):
    piece = b"x" * 65536

    async def send(port, key, *, framed):
        head = b"content-length: %d\r\n" % (1600 * len(piece)) if framed else b"transfer-encoding: chunked\r\n"
        pieces = [piece] * 1600 if framed else [b"10000\r\n" + piece + b"\r\n"] * 1600
        return await say(port, post(CHAT, b"", key, head, length=False), *pieces, until=b"}", seconds=60)

    async with platform_at(tmp_path, MODEL) as (_, port, key):
        assert (await say(port, post(CHAT, BODY, key, CLOSE))).statuses == [200]
        tracemalloc.start()
        try:
            for framed in (True, False):
                heard = await asyncio.gather(*(send(port, key, framed=framed) for _ in range(2)))
                assert [each.statuses for each in heard] == [[413], [413]], framed
                assert heard[0].body["error"]["code"] == "request_too_large"
            assert tracemalloc.get_traced_memory()[1] < 60 * 2**20, "less than one of the four"
        finally:
            tracemalloc.stop()
        assert (await say(port, post(CHAT, BODY, key, CLOSE))).statuses == [200]


class Fountain:
    """An upstream whose stream never ends; it counts what it could write, and notes when its caller has gone."""

    def __init__(self):
        self.written = 0
        self.gone = asyncio.Event()

    async def __call__(self, scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        gone = asyncio.create_task(self._gone(receive))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        delta = {"index": 0, "delta": {"content": "x" * 4000}}
        event = b"data: " + orjson.dumps({"object": "chat.completion.chunk", "choices": [delta]}) + b"\n\n"
        while not gone.done():
            await send({"type": "http.response.body", "body": event, "more_body": True})
            self.written += len(event)
            await asyncio.sleep(0)
        self.gone.set()

    async def _gone(self, receive):
        while (await receive())["type"] != "http.disconnect":
            pass


def behind(url, *, dialect="openai"):
    return f"""
{{kind: connection, name: c, provider: {dialect}, base_url: "{url}/v1", allow_private: true}}
---
{{kind: model, name: echo, provider: {dialect}, model: echo, connection: c}}
"""


@pytest.mark.parametrize("door", [CHAT, "/v1/messages", "/v1/responses"])
async def test_who_does_not_read_stops_the_upstream_and_is_cut_off(tmp_path, door):
    fountain = Fountain()
    asked = {"model": "model/echo", "stream": True, "max_tokens": 5, "messages": [{"role": "user", "content": "?"}]}
    if door == "/v1/responses":
        asked = {"model": "model/echo", "stream": True, "input": "?"}
    async with listening(fountain) as url, platform_at(tmp_path, behind(url), patience=SHORT) as (platform, port, key):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(post(door, orjson.dumps(asked), key))
            async with asyncio.timeout(20):
                await fountain.gone.wait()
        assert fountain.written < 24 * 2**20, "what the sockets hold, and no more"
        (span,) = platform.spans
    assert span.status == "error"
    assert span.usage.output_tokens > 0, "what had come counts"


async def test_who_reads_slowly_but_reads_gets_it_all():
    size = 512 * 1024

    async def large(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        await send({"type": "http.response.body", "body": b"x" * size})

    patience = Patience(unread=0.2, looks=0.05, slowest=1000)
    async with served(large, patience=patience) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        found = 0
        async with asyncio.timeout(20):
            await reader.readuntil(b"\r\n\r\n")
            while found < size:
                found += len(await reader.read(8192))
                await asyncio.sleep(0.01)
        writer.close()
    assert found == size


async def test_an_answer_that_nobody_fetches_does_not_stay():
    """The server is done with it, and what does not go out is let go with the connection."""
    size = 8 * 2**20

    async def large(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        await send({"type": "http.response.body", "body": b"x" * size})

    lost = asyncio.Event()

    class Watched(ClientConnection):
        patience = SHORT

        def connection_lost(self, exc):
            super().connection_lost(exc)
            lost.set()

    async with served(large, protocol=Watched) as port:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            async with asyncio.timeout(4):
                await lost.wait()


async def test_many_idle_clients_do_not_keep_one_from_being_served(tmp_path):
    async with serving(tmp_path, MODEL) as platform:
        port = int(platform.url.rpartition(":")[2])
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        key = f"authorization: Bearer {await platform.key()}\r\n".encode()
        assert (await say(port, post(CHAT, BODY, key, CLOSE))).statuses == [200]
        for _, writer in idle:
            writer.transport.abort()
