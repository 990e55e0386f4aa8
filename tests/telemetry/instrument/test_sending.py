"""Sending: in the background, bounded, and harmless when no server is there."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import textwrap
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider

from telemetry.instrument.receiver import receiving, tree_of
from tidemill.telemetry.instrument.sending import Address, Sender


def sending(url, **bounds):
    """A provider of its own that sends to a server."""
    sender = Sender(Address(f"{url}/v1/traces", lambda: {"authorization": "Bearer t"}), **bounds)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(sender)
    return sender, provider.get_tracer("test")


def closed_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_spans_arrive(receiver) -> None:
    sender, tracer = sending(receiver.url)
    for n in range(1500):
        tracer.start_span(f"s{n}").end()
    assert sender.force_flush()
    assert {each.name for each in receiver.spans} == {f"s{n}" for n in range(1500)}
    assert (sender.sent, sender.dropped, len(receiver.spans)) == (1500, 0, 1500)
    assert receiver.requests[0]["authorization"] == "Bearer t"
    assert receiver.requests[0]["path"] == "/v1/traces"
    sender.shutdown()


def test_a_server_that_is_away_costs_nothing_and_is_said_once(caplog) -> None:
    port = closed_port()
    sender, tracer = sending(f"http://127.0.0.1:{port}", most_spans=50)
    with caplog.at_level(logging.WARNING, logger="tidemill.trace"):
        for _ in range(200):
            tracer.start_span("s").end()
        assert not sender.force_flush(5000)
        assert not sender.force_flush(5000)
        assert sender.dropped == 150
        with receiving(port) as receiver:
            assert sender.force_flush()
            assert len(receiver.spans) == 50
        sender.shutdown()
    said = [each.getMessage() for each in caplog.records]
    assert len(said) == 3, said
    assert "50 wait for" in said[0]
    assert "cannot be sent" in said[1]
    assert "again" in said[2]


def test_a_server_that_never_answers_holds_the_exit_for_a_bounded_time() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        sender, tracer = sending(f"http://127.0.0.1:{listener.getsockname()[1]}")
        tracer.start_span("s").end()
        start = time.monotonic()
        sender.shutdown(300)
        assert time.monotonic() - start < 2
        assert sender.dropped == 1


def test_bytes_are_bounded(caplog) -> None:
    sender, tracer = sending(f"http://127.0.0.1:{closed_port()}", most_bytes=100_000)
    for _ in range(20):
        tracer.start_span("s", attributes={"x": "y" * 10_000}).end()
    assert sender.dropped == 11
    sender.shutdown(0)


@pytest.mark.parametrize(("status", "sent", "dropped"), [(400, 0, 3), (413, 0, 3), (503, 0, 0), (401, 0, 0)])
def test_what_is_refused_is_dropped_and_what_may_pass_later_is_kept(receiver, status, sent, dropped) -> None:
    receiver.status = status
    sender, tracer = sending(receiver.url)
    for _ in range(3):
        tracer.start_span("s").end()
    sender.force_flush()
    assert (sender.sent, sender.dropped) == (sent, dropped)
    receiver.status = 200
    assert sender.force_flush()
    assert sender.sent == 3 - dropped
    sender.shutdown()


def test_rejected_spans_are_counted(receiver) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTracePartialSuccess, ExportTraceServiceResponse

    partial = ExportTracePartialSuccess(rejected_spans=2, error_message="no")
    receiver.answer = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    sender, tracer = sending(receiver.url)
    for _ in range(3):
        tracer.start_span("s").end()
    sender.force_flush()
    assert (sender.sent, sender.dropped) == (1, 2)
    sender.shutdown()


def program(folder, text, *, url, **environ):
    """Run a program of a user, to its end."""
    (folder / "app.py").write_text(textwrap.dedent(text), "utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEMILL_", "OTEL_"))}
    command = [sys.executable, "app.py"]
    env |= {"TIDEMILL_URL": url, **environ}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60)


APP = """
    import os, threading, multiprocessing
    import tidemill
    tidemill.connect(service="app")

    @tidemill.trace
    def work(n):
        return n

    def child():
        with tidemill.trace("child"):
            work(1)

    with tidemill.session("s1", user="u1"), tidemill.trace("root") as span:
        work(0)
        if hasattr(os, "fork"):
            forked = multiprocessing.get_context("fork").Process(target=child)
            forked.start()
            forked.join()
    print(span.trace_id)
"""


def test_a_program_sends_at_its_end_also_from_forked_processes(tmp_path, receiver) -> None:
    (tmp_path / ".tidemill").mkdir()
    (tmp_path / ".tidemill" / "token").write_text("secret-token")
    ended = program(tmp_path, APP, url=receiver.url, TIDEMILL_PROJECT="shop")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert tree_of(receiver.spans) == {"root": {"work": {}, "child": {"work": {}}}}
    assert {(each.trace_id, each.service, each.session, each.user) for each in receiver.spans} == {
        (ended.stdout.strip(), "app", "s1", "u1")
    }
    assert len({each.span_id for each in receiver.spans}) == 4
    assert receiver.requests[0]["authorization"] == "Bearer secret-token"
    assert receiver.requests[0]["x-tidemill-project"] == "shop"


def test_a_program_without_a_server_ends_as_it_would(tmp_path) -> None:
    start = time.monotonic()
    ended = program(tmp_path, APP, url=f"http://127.0.0.1:{closed_port()}")
    assert ended.returncode == 0
    assert len(ended.stdout.strip()) == 32
    assert "were not sent" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert time.monotonic() - start < 20


def test_a_token_of_this_machine_is_not_sent_elsewhere(tmp_path) -> None:
    (tmp_path / ".tidemill").mkdir()
    (tmp_path / ".tidemill" / "token").write_text("secret-token")
    text = """
        import json, tidemill
        made = tidemill.connect()
        print(json.dumps(dict(made._sender._address.headers())))
    """
    assert "authorization" not in json.loads(program(tmp_path, text, url="http://elsewhere.example").stdout)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("tidemill.connect(url='ftp://x')", "'ftp://x' is no address"),
        ("tidemill.connect(); tidemill.connect(url='http://127.0.0.1:2')", "sends its spans to"),
        ("tidemill.connect(project='Not A Name')", "project"),
    ],
)
def test_what_cannot_be_connected_to(tmp_path, call, said) -> None:
    ended = program(tmp_path, f"import tidemill\n{call}", url="http://127.0.0.1:1")
    assert ended.returncode == 1
    assert said in ended.stderr


def test_without_an_sdk_nothing_is_recorded_and_connect_says_what_to_install(tmp_path) -> None:
    text = """
        import sys
        sys.modules["opentelemetry.sdk"] = None
        import tidemill
        with tidemill.session("s"), tidemill.trace("x") as span:
            span.set(output=1)
            assert not span.is_recording
        assert tidemill.trace(lambda a: a)(3) == 3
        assert tidemill.trace.headers() == {}
        assert "opentelemetry.sdk.trace" not in sys.modules
        try:
            tidemill.connect()
        except tidemill.core.errors.MissingExtra as error:
            print(error, error.hint)
    """
    ended = program(tmp_path, text, url="http://127.0.0.1:1")
    assert ended.returncode == 0, ended.stderr
    assert "tidemill[tracing]" in ended.stdout
