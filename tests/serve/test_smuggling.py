"""What two readers of HTTP could read differently is refused, and what comes behind it is never taken for a request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import orjson
import pytest

from serve.sockets import CLOSE, platform_at, post, say

pytestmark = pytest.mark.anyio

MODEL = "{kind: model, name: echo, provider: test, reply: high water}"
CHAT = "/v1/chat/completions"
BODY = orjson.dumps({"model": "model/echo", "messages": [{"role": "user", "content": "?"}]})
HIDDEN = post("/v1/models/hidden", b"").replace(b"POST", b"GET")
"""The request that is smuggled, if it is taken for one."""


def chunked(body: bytes, *, size: bytes | None = None, end: bytes = b"0\r\n\r\n") -> bytes:
    return (size or b"%x" % len(body)) + b"\r\n" + body + b"\r\n" + end


TE = b"transfer-encoding: chunked\r\n"
REFUSED = {
    "a length and chunks": post(CHAT, chunked(BODY) + HIDDEN, TE),
    "chunks and a length": post(CHAT, chunked(BODY) + HIDDEN, TE, b"content-length: 5\r\n", length=False),
    "two lengths": post(CHAT, BODY + HIDDEN, b"content-length: 3\r\n"),
    "the same length twice": post(CHAT, BODY + HIDDEN, b"content-length: %d\r\n" % len(BODY)),
    "a list of lengths": post(CHAT, BODY + HIDDEN, b"content-length: %d, 3\r\n" % len(BODY), length=False),
    "a length with a sign": post(CHAT, BODY, b"content-length: +%d\r\n" % len(BODY), length=False),
    "a negative length": post(CHAT, BODY, b"content-length: -1\r\n", length=False),
    "a length in hexadecimal": post(CHAT, BODY, b"content-length: 0x%x\r\n" % len(BODY), length=False),
    "a length beyond all numbers": post(CHAT, BODY, b"content-length: 99999999999999999999999\r\n", length=False),
    "a space before the colon": post(CHAT, BODY, b"content-length : %d\r\n" % len(BODY), length=False),
    "a folded header": post(CHAT, BODY, b"x-a: 1\r\n content-length: 0\r\n"),
    "a folded transfer encoding": post(CHAT, chunked(BODY), b"transfer-encoding:\r\n chunked\r\n", length=False),
    "a header without a name": post(CHAT, BODY, b": 1\r\n"),
    "a bare line feed in a value": post(CHAT, BODY, b"x-a: 1\nx-tidemill-user: somebody\r\n"),
    "a bare carriage return in a value": post(CHAT, BODY, b"x-a: 1\rx-tidemill-user: somebody\r\n"),
    "a zero byte in a value": post(CHAT, BODY, b"x-a: 1\x002\r\n"),
    "a zero byte in a name": post(CHAT, BODY, b"x\x00a: 1\r\n"),
    "another coding after the chunks": post(CHAT, chunked(BODY), b"transfer-encoding: chunked, identity\r\n", length=False),
    "a coding that hides the chunks": post(CHAT, chunked(BODY), b"transfer-encoding: xchunked\r\n", length=False),
    "a chunk size that is no number": post(CHAT, chunked(BODY, size=b"zz"), TE, length=False),
    "a negative chunk size": post(CHAT, chunked(BODY, size=b"-1"), TE, length=False),
    "a chunk size with a prefix": post(CHAT, chunked(BODY, size=b"0x%x" % len(BODY)), TE, length=False),
    "a chunk size beyond all numbers": post(CHAT, chunked(BODY, size=b"f" * 17), TE, length=False),
    "a chunk longer than it says": post(CHAT, chunked(BODY, size=b"5"), TE, length=False),
    "a chunk size that ends in a bare line feed": post(CHAT, b"%x\n" % len(BODY) + BODY + b"\n0\n\n", TE, length=False),
    "no protocol": b"POST /v1/chat/completions\r\nhost: 127.0.0.1\r\n\r\n",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": b"SMUGGLE / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
}


def tried() -> Iterator[tuple[str, bytes]]:
    yield from REFUSED.items()


async def test_what_is_ambiguous_is_refused_and_nothing_behind_it_is_read(tmp_path):
    async with platform_at(tmp_path, MODEL) as (platform, port, key):
        for name, raw in tried():
            platform.spans.clear()
            heard = await say(port, raw.replace(b"host: 127.0.0.1\r\n", b"host: 127.0.0.1\r\n" + key))
            assert heard.statuses[:1] == [400], (name, heard.raw[:200])
            assert 404 not in heard.statuses, f"{name}: the hidden request was answered"
            assert 200 not in heard.statuses, name
            assert [each.status for each in platform.spans if each.status != "error"] == [], name
        assert (await say(port, post(CHAT, BODY, key, CLOSE))).statuses == [200], "the server is well"


async def test_what_is_unusual_and_clear_is_answered(tmp_path):
    async with platform_at(tmp_path, MODEL) as (_, port, key):
        for name, raw in {
            "chunks": post(CHAT, chunked(BODY), key, CLOSE, TE, length=False),
            "chunk extensions": post(CHAT, chunked(BODY, size=b'%x;a=1;b="c d"' % len(BODY)), key, CLOSE, TE, length=False),
            "trailers": post(CHAT, chunked(BODY, end=b"0\r\nx-a: 1\r\n\r\n"), key, CLOSE, TE, length=False),
            "an upgrade nobody makes": post(CHAT, BODY, key, b"connection: upgrade, close\r\nupgrade: h2c\r\n"),
            "empty lines before it": b"\r\n\r\n" + post(CHAT, BODY, key, CLOSE),
        }.items():
            assert (await say(port, raw)).statuses == [200], name
        one_by_one = [bytes([each]) for each in post(CHAT, BODY, key, CLOSE)]
        assert (await say(port, *one_by_one)).statuses == [200]


async def test_requests_in_a_row_are_answered_in_their_order(tmp_path):
    async with platform_at(tmp_path, MODEL) as (_, port, key):
        row = post(CHAT, BODY, key) + post("/v1/nothing", b"{}", key) + post(CHAT, BODY, key, CLOSE)
        assert (await say(port, row)).statuses == [200, 404, 200]


async def test_noise_behind_a_stream_does_not_get_into_it(tmp_path):
    slow = "{kind: model, name: slow, provider: test, reply: one two three four five six, tokens_per_second: 40}"
    async with platform_at(tmp_path, slow) as (_, port, key):
        body = BODY.replace(b"echo", b"slow")[:-1] + b',"stream":true}'
        heard = await say(port, post(CHAT, body, key), until=b"one")
        assert heard.statuses == [200]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(CHAT, body, key))
        async with asyncio.timeout(10):
            first = await reader.readuntil(b"one")
            writer.write(b"\x00 no request \r\n\r\n")
            rest = await reader.read(-1)
        writer.close()
    assert b"HTTP/1.1 400" not in first + rest
    assert b"Invalid HTTP" not in first + rest


async def test_no_header_of_an_answer_can_be_made_of_what_was_asked(tmp_path):
    async with platform_at(tmp_path, MODEL) as (_, port, key):
        for name in (
            "echo\r\nset-cookie: a=b",
            "ech\u00f6",
            "\u2028",
            "x" * 100_000,
            "../../etc/passwd",
            "%0d%0aset-cookie:a=b",
        ):
            body = orjson.dumps({"model": f"model/{name}", "messages": [{"role": "user", "content": "?"}]})
            heard = await say(port, post(CHAT, body, key, CLOSE, b"x-tidemill-tags: a%0d%0ab\r\n"))
            assert heard.statuses[0] in {400, 404}, name
            assert b"\r\nset-cookie" not in heard.raw.lower()
            assert len(heard.body["error"]["message"]) < 2000
