"""Trying again, against a real server that fails in each way."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tidemill.client import Client
from tidemill.client.retry import retry_after
from tidemill.core.errors import RateLimited, TidemillError, Unavailable

Step = Callable[["Handler"], None]
PROBLEM = "application/problem+json"


class Handler(BaseHTTPRequestHandler):
    """Takes the next step of the script for each request, and the last one for all that follow."""

    script: list[Step]
    seen: list[tuple[str, str, str | None]]

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.seen.append((self.command, self.path, self.headers.get("idempotency-key")))
        self.script[min(len(self.seen), len(self.script)) - 1](self)

    do_POST = do_GET  # noqa: N815  (the base class's)

    def log_message(self, format, *args) -> None:  # noqa: A002  (the base class's)
        """Say nothing."""


def answer(status: int = 200, body: object = None, *, kind: str = "application/json", **headers: str) -> Step:
    def step(handler: Handler) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps({"id": "x"} if body is None else body).encode()
        handler.send_response(status)
        given = {"content-type": kind, "content-length": str(len(data)), **headers}
        for name, value in given.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return step


def reset(handler: Handler) -> None:
    """Break the connection with a RST, without an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RD)
    handler.connection.close()


def half(handler: Handler) -> None:
    """Announce more than is sent."""
    handler.send_response(200)
    handler.send_header("content-length", "100")
    handler.end_headers()
    handler.wfile.write(b'{"id"')
    handler.close_connection = True


def events(*texts: str, whole: bool) -> Step:
    """Server-sent events; unless `whole`, the connection breaks after them."""

    def step(handler: Handler) -> None:
        data = "".join(f"event: delta\ndata: {json.dumps({'text': each})}\n\n" for each in texts).encode()
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("content-length", str(len(data) + (0 if whole else 50)))
        handler.end_headers()
        handler.wfile.write(data)
        handler.close_connection = True

    return step


@contextmanager
def serving(*script: Step) -> Iterator[tuple[str, list[tuple[str, str, str | None]]]]:
    handler = type("Scripted", (Handler,), {"script": list(script), "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a connection that the script broke
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler.seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


FAILURES: dict[str, Step] = {
    "429": answer(429, {"code": "rate_limited", "detail": "slow down"}, kind=PROBLEM, retry_after="0"),
    "503 of ours": answer(503, {"code": "unavailable", "detail": "starting"}, kind=PROBLEM, retry_after="0"),
    "503 of a proxy": answer(503, "<html>busy</html>", kind="text/html"),
    "502": answer(502, "<html>no upstream</html>", kind="text/html"),
    "504": answer(504, "", kind="text/plain"),
    "reset": reset,
    "half an answer": half,
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_what_passes_is_tried_again_and_a_write_under_its_one_key(failure: Step) -> None:
    with serving(failure, failure, answer()) as (url, seen), Client(url=url, token="t") as client:
        assert client.make_release("chain/x").get("id") == "x"
        assert len(seen) == 3
        assert len({key for _, _, key in seen}) == 1
        assert seen[0][2]
        client.make_release("chain/x")
        assert seen[3][2] != seen[0][2]


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_a_read_is_tried_again_without_a_key(failure: Step) -> None:
    with serving(failure, answer()) as (url, seen), Client(url=url, token="t") as client:
        assert client.job("j").get("id") == "x"
        assert [key for _, _, key in seen] == [None, None]


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (answer(503, {"code": "unavailable", "detail": "the model is gone"}, kind=PROBLEM), Unavailable),
        (answer(500, {"code": "internal", "detail": "a fault"}, kind=PROBLEM), TidemillError),
        (answer(429, {"code": "rate_limited", "detail": "in an hour"}, kind=PROBLEM, retry_after="3600"), RateLimited),
        (answer(409, {"code": "conflict", "detail": "no"}, kind=PROBLEM), TidemillError),
    ],
    ids=["ours, without a time", "a fault", "later than the deadline", "a conflict"],
)
def test_what_does_not_pass_is_said_at_once(step: Step, error: type[Exception]) -> None:
    with serving(step) as (url, seen), Client(url=url, token="t") as client:
        with pytest.raises(error):
            client.make_release("chain/x")
        assert len(seen) == 1


def test_attempts_are_bounded() -> None:
    with serving(FAILURES["502"]) as (url, seen):
        with Client(url=url, token="t", retries=2) as client, pytest.raises(Unavailable, match="502"):
            client.job("j")
        assert len(seen) == 3
        with Client(url=url, token="t", retries=0) as client, pytest.raises(Unavailable, match="502"):
            client.job("j")
        assert len(seen) == 4


def test_the_time_is_bounded() -> None:
    with serving(FAILURES["429"]) as (url, seen), Client(url=url, token="t", retries=10**6, timeout=0.5) as client:
        began = time.monotonic()
        with pytest.raises(RateLimited):
            client.job("j")
        assert time.monotonic() - began < 3
        assert len(seen) >= 2


def test_a_server_that_starts_late_is_waited_for() -> None:
    with socket.socket() as waiting:
        waiting.bind(("127.0.0.1", 0))  # bound and not listening: refused
        url = f"http://127.0.0.1:{waiting.getsockname()[1]}"
        handler = type("Scripted", (Handler,), {"script": [answer()], "seen": []})

        def serve_one() -> None:
            waiting.listen()
            connection, address = waiting.accept()
            with connection:
                handler(connection, address, None)

        with Client(url=url, token="t", retries=8) as client:
            thread = threading.Thread(target=serve_one)
            threading.Timer(0.1, thread.start).start()
            assert client.job("j").get("id") == "x"
            thread.join()


def test_a_stream_is_tried_again_before_its_first_event_only() -> None:
    with serving(FAILURES["503 of a proxy"], events("a", "b", whole=True)) as (url, seen), Client(url=url, token="t") as client:
        assert [json.loads(each.data)["text"] for each in client.stream_run("chain/x", {})] == ["a", "b"]
        assert len(seen) == 2
    with serving(events("a", whole=False), events("again", whole=True)) as (url, seen), Client(url=url, token="t") as client:
        pieces = client.stream_run("chain/x", {})
        assert json.loads(next(pieces).data)["text"] == "a"
        with pytest.raises(Unavailable):
            next(pieces)
        assert len(seen) == 1


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("7", None, 7.0),
        ("Wed, 21 Oct 2026 07:28:10 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 10.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 0.0),
        ("soon", "Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("-3", None, None),
        (None, None, None),
    ],
)
def test_retry_after_is_seconds_or_a_time(value: str | None, date: str | None, seconds: float | None) -> None:
    assert retry_after(value, date=date) == seconds


@pytest.mark.parametrize(("retries", "timeout"), [(-1, 1.0), (1, 0.0)])
def test_a_setting_that_makes_no_sense_is_refused(retries: int, timeout: float) -> None:
    with pytest.raises(TidemillError, match="make no sense"):
        Client(retries=retries, timeout=timeout)
