"""What tracing a call costs: `tidemill.trace` against OpenTelemetry's bare SDK, the function alone, and no SDK at all.

    python -m bench.instrument

The function takes a question and a passage and gives an answer, some hundred characters each. With an SDK, spans go to a
processor that keeps none; the bare SDK records the same arguments and result as JSON, written with `json.dumps` as a program
would do it. Times are of the thread's own CPU. Sending is measured apart: spans a CPU second from their making until a server
on this machine has answered, which is part of it.
"""

from __future__ import annotations

import gc
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from bench.measure import report
from bench.synthetic import Words
from tidemill.telemetry.instrument import trace
from tidemill.telemetry.instrument.sending import Address, Sender

CALLS, ROUNDS, SENT, BUDGET_US = 5_000, 7, 20_000, 60


def answer(question, passages):
    return {"text": passages[0], "question": question}


def cost(function, arguments):
    """Microseconds of CPU a call: the best of the rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        gc.collect()
        start = time.thread_time()
        for _ in range(CALLS):
            function(*arguments)
        best = min(best, time.thread_time() - start)
    return best / CALLS * 1e6


def bare(tracer):
    """As a program would write it without us."""

    def call(question, passages):
        with tracer.start_as_current_span("answer") as span:
            span.set_attribute("input", json.dumps({"question": question, "passages": passages}))
            result = answer(question, passages)
            span.set_attribute("output", json.dumps(result))
            return result

    return call


def stock(address, *, most_spans):
    """What the SDK sends with."""
    exporter = OTLPSpanExporter(endpoint=address.url, compression=Compression.Gzip)
    return BatchSpanProcessor(exporter, max_queue_size=most_spans)


def sent_per_cpu_second(make):
    """Spans that a process makes and sends in one second of its CPU time."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        processor = make(Address(f"http://127.0.0.1:{server.server_address[1]}/v1/traces", dict), most_spans=SENT)
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(processor)
        tracer = provider.get_tracer("bench")
        start = time.process_time()
        for number in range(SENT):
            with tracer.start_as_current_span("answer") as span:
                span.set_attributes({"tidemill.kind": "chain", "tidemill.input": '{"question":"…"}', "n": number})
        assert processor.force_flush(60_000)
        took = time.process_time() - start
        processor.shutdown()
        server.shutdown()
    return SENT / took


def main():
    words = Words()
    arguments = (words.text(20), [words.text(60)])
    plain = cost(answer, arguments)
    silent = cost(trace(answer), arguments)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    otel.set_tracer_provider(provider)
    theirs = cost(bare(provider.get_tracer("bench")), arguments)
    ours = cost(trace(answer), arguments)
    quiet = cost(trace(capture=False)(answer), arguments)
    without, said = "the same function, not traced", {"unit": "us a call"}
    report("instrument", "traced, no SDK", ours=silent, baseline=plain, baseline_is=without, **said)
    bare_sdk = {"baseline": theirs - plain, "baseline_is": "OpenTelemetry's SDK by hand, the same recorded by json.dumps"}
    report("instrument", "traced", ours=ours - plain, unit="us a span", budget=BUDGET_US, **bare_sdk)
    report("instrument", "traced, capture=False", ours=quiet - plain, unit="us a span", **bare_sdk)
    ours_sent, theirs_sent = sent_per_cpu_second(Sender), sent_per_cpu_second(stock)
    report(
        "instrument", "made and sent", ours=ours_sent, baseline=theirs_sent, unit="spans a CPU second",
        baseline_is="the SDK's BatchSpanProcessor with its own exporter",
    )  # fmt: skip


if __name__ == "__main__":
    main()
