"""In-process answers stream, and a client that leaves is noticed."""

from __future__ import annotations

import anyio
import httpx
import pytest

from tidemill.client.transport import AppTransport

pytestmark = pytest.mark.anyio


async def test_a_piece_arrives_before_the_next_one_is_made() -> None:
    received = anyio.Event()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await received.wait()  # would never end if the client waited for the whole answer
        await send({"type": "http.response.body", "body": b"second", "more_body": False})

    async with (
        httpx.AsyncClient(transport=AppTransport(app), base_url="http://app") as http,
        http.stream("GET", "/") as response,
    ):
        pieces = []
        async for piece in response.aiter_bytes():
            pieces.append(piece)
            received.set()
    assert pieces == [b"first", b"second"]


async def test_closing_an_answer_early_disconnects() -> None:
    left = anyio.Event()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    async with httpx.AsyncClient(transport=AppTransport(app), base_url="http://app") as http:
        async with http.stream("GET", "/") as response:
            async for _ in response.aiter_bytes():
                break
        with anyio.fail_after(5):
            await left.wait()


async def test_an_application_that_fails_before_it_answers_fails_the_request() -> None:
    async def app(scope, receive, send):
        raise LookupError("gone")

    async with httpx.AsyncClient(transport=AppTransport(app), base_url="http://app") as http:
        with pytest.raises(LookupError, match="gone"):
            await http.get("/")


async def test_an_application_that_fails_midway_does_not_look_whole() -> None:
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise LookupError("gone")

    async with httpx.AsyncClient(transport=AppTransport(app), base_url="http://app") as http:
        with pytest.raises(LookupError, match="gone"):
            await http.get("/")


async def test_errors_of_the_caller_pass_unwrapped() -> None:
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def call() -> None:
        async with httpx.AsyncClient(transport=AppTransport(app), base_url="http://app") as http:
            await http.get("/")
            raise KeyError("mine")

    with pytest.raises(KeyError):
        await call()
