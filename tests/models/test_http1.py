"""What a server may send over a connection, and what is made of it: read as one answer, bounded, and never as two."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import tracemalloc
import zlib

import aiohttp
import pytest
from yarl import URL

from tidemill.core.chat import Connection
from tidemill.core.errors import Invalid, Unavailable
from tidemill.models.guard import connector
from tidemill.models.http1 import Lines
from tidemill.models.wire import Wire

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Server:
    """Writes what it is told for each request, in pieces, and counts connections."""

    def __init__(self, *answers: tuple[bytes, ...]) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.requests: list[bytes] = []
        self.url = URL()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while self.answers:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                for piece in self.answers.pop(0):
                    if not piece:
                        writer.close()
                        return
                    writer.write(piece)
                    await writer.drain()
            await reader.read()
        writer.close()


@contextlib.asynccontextmanager
async def serving(*answers: tuple[bytes, ...]):
    server = Server(*answers)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = URL(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1")
    lines = Lines(connector(allow_private=True))
    try:
        yield server, lines
    finally:
        await lines.close()
        listening.close()
        await listening.wait_closed()


async def ask(lines: Lines, server: Server, *, timeout: float = 5) -> bytes:
    reply = await lines.ask("GET", server.url, None, headers={}, timeout=timeout)
    try:
        return b"".join([piece async for piece in reply.pieces()])
    finally:
        reply.let_go()


def whole(body: bytes, *heads: bytes) -> bytes:
    return OK + b"".join(heads) + b"content-length: %d\r\n\r\n" % len(body) + body


GZIP = b"content-encoding: gzip\r\n"
WRONG = {
    "a length and chunks": (OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",),
    "two lengths": (OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{} ",),
    "less than it said": (OK + b"content-length: 9\r\n\r\n{}", b""),
    "chunks without an end": (OK + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", b""),
    "an encoding nobody asked for": (whole(b"{}", b"content-encoding: br\r\n"),),
    "gzip that is none": (whole(b"{}{}{}{}", GZIP),),
    "gzip that breaks": (whole(gzip.compress(b"{}" * 999)[:20] + b"\xff" * 30, GZIP),),
    "another protocol": (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", b""),
    "a folded header": (OK + b"x-a: 1\r\n 2\r\ncontent-length: 2\r\n\r\n{}",),
    "a head without an end": (b"HTTP/1.1 200 OK\r\n", *(b"x-%d: " % each + b"y" * 4000 + b"\r\n" for each in range(80))),
    "only that it is about to answer": (b"HTTP/1.1 103 Early Hints\r\nx-a: " + b"y" * 1000 + b"\r\n\r\n",) * 1,
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_no_answer_is_an_error_and_its_connection_is_not_kept(name):
    pieces = WRONG[name] if name != "only that it is about to answer" else WRONG[name] * 400
    async with serving(pieces, (whole(b"{}"),)) as (server, lines), asyncio.timeout(20):
        with pytest.raises((aiohttp.ClientError, OSError)):
            await ask(lines, server)
        server.answers = [(whole(b"{}"),)]
        assert await ask(lines, server) == b"{}"
        assert server.connections == 2 or "gzip" in name or "encoding" in name, "those were read to their end"


async def test_a_second_answer_is_no_part_of_the_first():
    twice = whole(b'{"a":1}') + b"HTTP/1.1 500 No\r\nx-evil: 1\r\ncontent-length: 7\r\n\r\n" + b'{"b":2}'
    async with serving((twice,), (whole(b"{}"),)) as (server, lines):
        reply = await lines.ask("GET", server.url, None, headers={}, timeout=5)
        assert b"".join([piece async for piece in reply.pieces()]) == b'{"a":1}'
        assert (reply.status, "x-evil" in reply.headers) == (200, False)
        reply.let_go()
        assert await ask(lines, server) == b"{}"
        assert server.connections == 2, "what had more to say is not asked again"


async def test_noise_behind_an_answer_does_not_spoil_it():
    async with serving((whole(b"{}") + b"\x00\x00 noise \r\n\r\n",), (whole(b"[]"),)) as (server, lines):
        assert await ask(lines, server) == b"{}"
        assert await ask(lines, server) == b"[]"
        assert server.connections == 2


async def test_a_trailer_is_no_header():
    chunks = OK + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\ncontent-encoding: br\r\nx-late: 1\r\n\r\n"
    async with serving((chunks,)) as (server, lines):
        reply = await lines.ask("GET", server.url, None, headers={}, timeout=5)
        assert b"".join([piece async for piece in reply.pieces()]) == b"{}"
        assert "x-late" not in reply.headers
        reply.let_go()


@pytest.mark.parametrize("framed", [True, False], ids=["whole", "in chunks"])
async def test_what_unpacks_to_too_much_is_given_up_before_it_fills_the_memory(framed):
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    bomb = b"".join(packer.compress(b" " * 2**20) for _ in range(400)) + packer.flush()
    if framed:
        answer = whole(bomb, GZIP)
    else:
        parts = [bomb[start : start + 1000] for start in range(0, len(bomb), 1000)]
        answer = OK + GZIP + b"transfer-encoding: chunked\r\n\r\n"
        answer += b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in parts) + b"0\r\n\r\n"
    async with serving((answer,)) as (server, lines):
        tracemalloc.start()
        try:
            with pytest.raises(aiohttp.ClientError, match="unpacks to too much"):
                await ask(lines, server)
            assert tracemalloc.get_traced_memory()[1] < 48 * 2**20
        finally:
            tracemalloc.stop()


async def test_a_large_answer_that_is_read_is_no_bomb():
    chance = random.Random(1)
    text = b"".join(chance.randbytes(1024).hex().encode() * 8 for _ in range(2500))
    packed = gzip.compress(text, compresslevel=1)
    pieces = tuple(packed[start : start + 2048] for start in range(0, len(packed), 2048))
    head = OK + GZIP + b"content-length: %d\r\n\r\n" % len(packed)
    async with serving((head, *pieces)) as (server, lines):
        reply = await lines.ask("GET", server.url, None, headers={}, timeout=5)
        size = 0
        async for piece in reply.pieces():
            size += len(piece)
        reply.let_go()
    assert size == len(text) > 16 * 2**20


async def test_who_reads_slowly_is_not_sent_more_than_fits():
    """Back-pressure: what is not read stays with the server."""
    sent = 0

    async def fountain(reader, writer):
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"connection: close\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while sent < 256 * 2**20:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
        writer.close()
        gone.set()

    gone = asyncio.Event()

    listening = await asyncio.start_server(fountain, "127.0.0.1", 0)
    url = URL(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/")
    lines = Lines(connector(allow_private=True))
    reply = await lines.ask("GET", url, None, headers={}, timeout=5)
    pieces = reply.pieces()
    await anext(pieces)
    before = -1
    while sent != before:  # until nothing more goes out
        before = sent
        await asyncio.sleep(0.05)
    assert sent < 24 * 2**20, "what the sockets hold"
    await pieces.aclose()
    reply.let_go()
    async with asyncio.timeout(10):
        await gone.wait()
    await lines.close()
    listening.close()
    await listening.wait_closed()


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\x00b"])
async def test_no_header_of_ours_can_become_two(value):
    connection = Connection(name="c", provider="openai", headers={"x-team": value}, allow_private=True)
    wire = Wire("openai")
    async with serving() as (server, _):
        with pytest.raises(Invalid, match="end of a line"):
            await wire.ask(str(server.url), {}, headers=connection.headers, connection=connection, secret=None)
        assert not server.requests
    await wire.close()


async def test_a_name_that_nobody_looks_up_in_time_is_given_up(monkeypatch):
    connection = Connection(name="c", provider="openai", timeout=0.2)

    async def never(*_, **__):
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    wire = Wire("openai")
    with pytest.raises(Unavailable, match=r"0\.2 s"):
        await wire.ask("http://slow.example/", {}, headers={}, connection=connection, secret=None)
    await wire.close()


@pytest.mark.parametrize(("largest", "longest", "said"), [(4 * 2**20, 60, "longer than any"), (2**40, 0.3, "took longer")])
async def test_what_never_ends_is_ended(largest, longest, said):
    async def fountain(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"connection: close\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * (65536 if longest > 1 else 10))
                await writer.drain()
                await asyncio.sleep(0 if longest > 1 else 0.01)
        writer.close()
        gone.set()

    gone = asyncio.Event()

    listening = await asyncio.start_server(fountain, "127.0.0.1", 0)
    url = URL(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/")
    lines = Lines(connector(allow_private=True), largest=largest, longest=longest)
    reply = await lines.ask("GET", url, None, headers={}, timeout=0.2)
    async with asyncio.timeout(10):
        with pytest.raises(aiohttp.ClientPayloadError, match=said):
            [piece async for piece in reply.pieces()]
        reply.let_go()
        await gone.wait()
    await lines.close()
    listening.close()
    await listening.wait_closed()
