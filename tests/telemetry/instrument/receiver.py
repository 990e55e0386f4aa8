"""A server of OTLP over HTTP that keeps what it is sent, read as the platform reads it."""

from __future__ import annotations

import contextlib
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from tidemill.telemetry.dialects.read import read_span
from tidemill.telemetry.otlp.parse import parse_traces
from tidemill.telemetry.otlp.tally import Tally
from tidemill.telemetry.otlp.traces import read_spans


def records_of(body, *, project="default"):
    """The records of an export request in protobuf."""
    tally = Tally()
    request = parse_traces(body, form="protobuf", tally=tally)
    spans = list(read_spans(request, tally, now_ns=time.time_ns()))
    assert None not in spans
    return [read_span(each, project=project) for each in spans]


def records_of_sdk(spans):
    """The records of the SDK's own spans, after the way that they would go."""
    return records_of(encode_spans(spans).SerializeToString()) if spans else []


class Receiver:
    """`spans` are the records that came, `requests` the headers of each request; `status` is what is answered."""

    def __init__(self, port):
        self.spans, self.requests, self.status, self.answer = [], [], 200, b""
        self.changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = zlib.decompress(body, 31)
                if self.path != "/v1/traces":
                    self.send_error(404)
                    return
                with receiver.changed:
                    receiver.requests.append(dict(self.headers.items()) | {"path": self.path})
                    if receiver.status == 200:
                        receiver.spans += records_of(body)
                    receiver.changed.notify_all()
                self.send_response(receiver.status)
                self.send_header("content-length", str(len(receiver.answer)))
                self.send_header("content-type", "application/x-protobuf")
                self.end_headers()
                self.wfile.write(receiver.answer)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def wait(self, count, *, seconds=20):
        """Return the spans when so many came."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.spans) >= count, seconds), f"{len(self.spans)} of {count} spans came"
            return list(self.spans)

    def wait_for_requests(self, count, *, seconds=20):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.requests) >= count, seconds)


@contextlib.contextmanager
def receiving(port=0):
    """A receiver that listens."""
    receiver = Receiver(port)
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        thread.join()
        receiver.server.server_close()


def tree_of(spans):
    """The spans of one trace as `{"name": {"child": {}}}`, in the order of their starts."""
    spans = sorted(spans, key=lambda each: each.start_ns)
    known = {each.span_id for each in spans}

    def below(parent):
        return {
            each.name: below(each.span_id) for each in spans if (each.parent_id if each.parent_id in known else None) == parent
        }

    return below(None)
