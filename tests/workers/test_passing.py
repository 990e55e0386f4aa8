"""Requests that a worker passes on: as they came, answered as they are made, and waited for while nobody answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from pathlib import Path

import httpx
import pytest

from tidemill.workers.listening import Listening
from tidemill.workers.passing import Passing

pytestmark = pytest.mark.anyio


@contextlib.contextmanager
def behind():
    """A Unix socket that is listened on, and its path."""
    with tempfile.TemporaryDirectory(prefix="t-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(folder) / "keeper")
        listener.bind(path)
        listener.listen(16)
        listener.setblocking(False)
        yield listener, path


@contextlib.asynccontextmanager
async def served(app, listener):
    """An app behind a socket."""
    ready = asyncio.Event()
    listening = Listening(app, listener, trusts_all=True)
    task = asyncio.create_task(listening.run(on_ready=ready.set))
    await ready.wait()
    try:
        yield listening
    finally:
        listening.stop()
        await task


@contextlib.asynccontextmanager
async def passing(app):
    """A client of a worker that passes on what it is asked to an app in another."""
    with behind() as (listener, path), socket.socket() as front:
        front.bind(("127.0.0.1", 0))
        front.listen(16)
        front.setblocking(False)
        passed = Passing(path)
        address = f"http://127.0.0.1:{front.getsockname()[1]}"
        async with (
            served(passed, front),
            served(app, listener) if app else contextlib.nullcontext(),
            httpx.AsyncClient(base_url=address, trust_env=False, timeout=20) as client,
        ):
            yield client, listener
        await passed.close()


async def read(receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


async def echo(scope, receive, send):
    body = await read(receive)
    said = [name + b": " + value for name, value in scope["headers"] if name != b"user-agent"]
    lines = [scope["method"].encode(), scope["raw_path"], scope["query_string"], *said, body]
    headers = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x-from", str(scope["client"][0]).encode())]
    await send({"type": "http.response.start", "status": 207, "headers": headers})
    await send({"type": "http.response.body", "body": b"\n".join(lines)})


async def test_a_request_comes_as_it_was_sent_and_its_answer_too():
    async with passing(echo) as (client, _):
        answer = await client.put(
            "/a%2Fb/c?x=%20y&x=2", content=b"\x00\xff" * 200_000, headers=[("x-two", "1"), ("x-two", "2")]
        )
        assert answer.status_code == 207
        assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
        assert answer.headers["x-from"] == "127.0.0.1"
        lines = answer.content.split(b"\n")
        assert lines[:3] == [b"PUT", b"/a%2Fb/c", b"x=%20y&x=2"]
        assert lines[-1] == b"\x00\xff" * 200_000
        assert [each for each in lines if each.startswith(b"x-two")] == [b"x-two: 1", b"x-two: 2"]
        assert f"host: {client.base_url.netloc.decode()}".encode() in lines

        async def pieces():
            for number in range(50):
                yield b"%d," % number

        answer = await client.post("/chunked", content=pieces())
        assert answer.content.endswith(b"48,49,")
        assert (await client.get("/none")).content.endswith(b"\n")


async def test_events_come_one_by_one_and_who_leaves_is_noticed():
    go, gone = asyncio.Event(), asyncio.Event()

    async def events(_scope, receive, send):
        await read(receive)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for number in range(3):
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
            await go.wait()
            go.clear()
        assert (await receive())["type"] == "http.disconnect"
        gone.set()

    async with passing(events) as (client, _):
        async with client.stream("GET", "/events") as answer:
            lines = answer.aiter_lines()
            for number in range(3):
                assert await anext(lines) == f"data: {number}"
                assert await anext(lines) == ""
                go.set()
        async with asyncio.timeout(10):
            await gone.wait()


async def test_what_comes_while_nobody_answers_waits():
    async with passing(None) as (client, listener):
        asking = [asyncio.create_task(client.post("/later", content=b"x")) for _ in range(5)]
        await asyncio.sleep(0.1)  # they are on their way, and nobody is there
        assert not any(each.done() for each in asking)
        async with served(echo, listener):
            assert {(await each).status_code for each in asking} == {207}


async def test_what_was_taken_up_by_one_that_died_fails_with_a_reason():
    with behind() as (listener, path):
        server = await asyncio.start_unix_server(lambda _reader, writer: writer.close(), sock=listener)
        sent = []

        async def send(message):
            sent.append(message)

        async def receive():
            await asyncio.sleep(3600)

        passed = Passing(path)
        scope = {
            "type": "http", "method": "GET", "path": "/x", "raw_path": b"/x", "query_string": b"", "headers": [],
            "scheme": "http", "client": None,
        }  # fmt: skip
        await passed(scope, receive, send)
        await passed.close()
        server.close()
        assert sent[0]["status"] == 503
        assert b"started again" in sent[1]["body"]
