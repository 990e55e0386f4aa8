"""The trace goes with the work: for whom it is, through HTTP, queues, processes and MCP."""

from __future__ import annotations

import asyncio
import http.client
import multiprocessing
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry import trace as otel

import tidemill
from telemetry.instrument.receiver import tree_of

pytestmark = pytest.mark.anyio


def test_who_it_is_for_is_on_every_span_within(kept) -> None:
    with tidemill.trace("before") as span:
        with tidemill.session("s1", user="u1", tags=["beta"]):
            with tidemill.trace("inner"), tidemill.trace.tags("more"), tidemill.trace.user("u2"), tidemill.trace("innermost"):
                pass
            otel.get_tracer("somebody.else").start_span("foreign").end()
        span.set(output=1)
    with tidemill.trace("after"):
        pass
    found = kept.records
    said = {name: (each.session, each.user, each.tags) for name, each in found.items() if name != "foreign"}
    assert said == {
        "before": ("s1", "u1", ("beta",)),
        "inner": ("s1", "u2", ("beta", "more")),
        "innermost": ("s1", "u2", ("beta", "more")),
        "after": (None, None, ()),
    }


async def test_tasks_have_sessions_of_their_own(kept) -> None:
    async def work(name: str) -> None:
        async with tidemill.session(name):
            await asyncio.sleep(0)
            with tidemill.trace(name):
                await asyncio.sleep(0)

    await asyncio.gather(*(work(f"s{n}") for n in range(5)))
    assert {name: each.session for name, each in kept.records.items()} == {f"s{n}": f"s{n}" for n in range(5)}


def test_through_http(kept) -> None:
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(dict(self.headers.items()))
            with tidemill.trace.extract(self.headers), tidemill.trace("served"):
                pass
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        with tidemill.session("s1", user="u1", shared=True), tidemill.trace("asking"):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1])
            connection.request("GET", "/", headers=tidemill.trace.headers({"x-own": "1"}))
            assert connection.getresponse().status == 204
            connection.close()
        with tidemill.session("private"), tidemill.trace("asking"):
            assert "baggage" not in tidemill.trace.headers()
        server.shutdown()
        thread.join()
    found = kept.records
    assert found["served"].trace_id == next(each for each in kept.records.values() if each.name == "served").trace_id
    asking = next(each for each in kept.ended if each.name == "asking")
    assert found["served"].parent_id == format(asking.context.span_id, "016x")
    assert (found["served"].session, found["served"].user) == ("s1", "u1")
    assert seen[0]["x-own"] == "1"


@pytest.mark.parametrize("form", ["headers", "message", "mcp", "meta", "bytes", "object"])
def test_every_form_of_carrier(kept, form) -> None:
    with tidemill.trace("sender") as span:
        sent = tidemill.trace.headers()
        mine = span.traceparent
    carriers = {
        "headers": {"Traceparent": sent["traceparent"]},
        "message": {"body": 1, **sent},
        "mcp": {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "x", "_meta": sent}},
        "meta": {"name": "x", "_meta": sent},
        "bytes": [(b"traceparent", sent["traceparent"].encode())],
        "object": type("Params", (), {"meta": type("Meta", (), {"model_extra": sent})()})(),
    }
    with tidemill.trace.extract(carriers[form]), tidemill.trace("receiver"):
        pass
    assert sent["traceparent"] == mine
    assert tree_of(kept.records.values()) == {"sender": {"receiver": {}}}


@pytest.mark.parametrize(
    "carrier", [None, {}, {"traceparent": "nonsense"}, {"traceparent": None}, {"_meta": 3}, 7, "text", [1, 2]]
)
def test_what_carries_nothing_begins_a_trace_of_its_own(kept, carrier) -> None:
    with tidemill.trace.extract(carrier), tidemill.trace("alone"):
        pass
    assert kept.records["alone"].parent_id is None


def test_a_request_of_mcp_has_it_in_meta(kept) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "weather", "arguments": {}}}
    with tidemill.trace("call", kind="tool") as span:
        assert tidemill.trace.inject(request) is request
        assert request["params"] == {"name": "weather", "arguments": {}, "_meta": {"traceparent": span.traceparent}}
        assert tidemill.trace.inject({"n": 1}) == {"n": 1, "traceparent": span.traceparent}


def _worker(messages, answers) -> None:
    message = messages.get(timeout=30)
    with tidemill.trace.extract(message):
        answers.put(tidemill.trace.headers())


def test_through_a_queue_of_processes(kept) -> None:
    spawn = multiprocessing.get_context("spawn")
    messages, answers = spawn.Queue(), spawn.Queue()
    process = spawn.Process(target=_worker, args=(messages, answers))
    process.start()
    with tidemill.trace("sender") as span:
        messages.put(tidemill.trace.inject({"work": 1}))
        answer = answers.get(timeout=60)  # a process without an SDK hands on what it was given
        assert answer == {"traceparent": span.traceparent}
    process.join(30)
    assert process.exitcode == 0


def test_spans_of_others_are_parents_and_children(kept) -> None:
    tracer = otel.get_tracer("somebody.else")
    with tracer.start_as_current_span("theirs"), tidemill.trace("ours"), tracer.start_as_current_span("theirs below"):
        tidemill.trace.current().set(output="x", attributes={"k": 1})
    assert tree_of(kept.records.values()) == {"theirs": {"ours": {"theirs below": {}}}}


def test_a_coroutine_cannot_be_bound() -> None:
    async def work() -> None: ...

    with pytest.raises(TypeError, match="plain function"):
        tidemill.trace.bind(work)
