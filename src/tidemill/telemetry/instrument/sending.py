"""Sending spans to a server: in the background, bounded, and never in the way of the program that made them.

The queue holds so many spans and so many bytes; what does not fit is dropped and counted. A server that is away is tried again
while the queue lasts. What goes wrong is said once, until it goes well again.
"""

from __future__ import annotations

import collections
import http.client
import logging
import os
import sys
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import SpanProcessor

from tidemill.telemetry.instrument.about import about

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace import Span as SdkSpan

MOST_SPANS: Final = 8192
MOST_BYTES: Final = 64 * 1024 * 1024
_BATCH_SPANS: Final = 512
_BATCH_BYTES: Final = 4 * 1024 * 1024
_EVERY_SECONDS: Final = 1.0
_LONGEST_WAIT: Final = 30.0
_TIMEOUT: Final = 10.0
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_log: Final = logging.getLogger("tidemill.trace")


@dataclass(frozen=True, slots=True)
class Address:
    """Where spans go. `headers` is asked at every request, so that a token which appears later is used."""

    url: str
    headers: Callable[[], Mapping[str, str]]


class Refused(Exception):
    """The server will not take this batch; sending it again would not help."""


class Away(Exception):
    """The server cannot be reached, or cannot take anything now; `retry_after` in seconds, where it said so."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Sender(SpanProcessor):
    """Takes the ended spans of an SDK. `sent` and `dropped` count them since the start of this process."""

    def __init__(self, address: Address, *, most_spans: int = MOST_SPANS, most_bytes: int = MOST_BYTES) -> None:
        self._address = address
        self._most_spans = most_spans
        self._most_bytes = most_bytes
        self._said = ""
        self._reset()
        if hasattr(os, "register_at_fork"):
            mine = weakref.WeakMethod(self._reset)
            os.register_at_fork(after_in_child=lambda: (reset := mine()) and reset())
        _flush_in_children(self)

    def _reset(self) -> None:
        """Begin anew: also in a forked child, whose parent sends what was queued before."""
        self._queue: collections.deque[tuple[ReadableSpan, int]] = collections.deque()
        self._bytes = 0
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._closed = self._urgent = False
        self._busy = 0
        self._failures = 0
        self._pause = 0.0
        self.sent = 0
        self.dropped = 0

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        """Say for whom it is, also of spans that other instrumentations make."""
        said = about(parent_context)
        if said:
            span.set_attributes(said)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span. Never waits for the server and never raises."""
        context = span.context
        if context is None or not context.trace_flags.sampled:
            return
        size = _size_of(span)
        with self._changed:
            if self._closed or len(self._queue) >= self._most_spans or self._bytes + size > self._most_bytes:
                self.dropped += 1
                full = not self._closed and self.dropped == 1
            else:
                full = False
                self._queue.append((span, size))
                self._bytes += size
                if self._thread is None:
                    self._begin()
                elif len(self._queue) % _BATCH_SPANS == 0 and not self._failures:
                    self._changed.notify()
        if full:
            _log.warning("spans are dropped: %s wait for %s, and no more are kept", self._most_spans, self._address.url)

    def force_flush(self, timeout_millis: int | None = 10_000) -> bool:
        """Send what is queued now; whether all of it was sent in that time."""
        ends = time.monotonic() + (10_000 if timeout_millis is None else timeout_millis) / 1000
        with self._changed:
            self._urgent = True
            self._changed.notify_all()
            while (self._queue or self._busy) and (left := ends - time.monotonic()) > 0 and self._urgent:
                self._changed.wait(left)
            return not self._queue and not self._busy

    def shutdown(self, timeout_millis: int = 3_000) -> None:
        """Send what is queued, for so long at most, and end. What could not be sent is counted as dropped, and said."""
        self.force_flush(timeout_millis)
        with self._changed:
            self._closed = True
            left = len(self._queue) + self._busy
            self._queue.clear()
            self._changed.notify_all()
        self.dropped += left
        if left:
            _log.warning("%s spans were not sent to %s", self.dropped, self._address.url)

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._run, name="tidemill-trace", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        post = _Post(self._address)
        while True:
            batch = self._next_batch()
            if batch is None:
                post.close()
                return
            if batch:
                self._send(post, batch)

    def _next_batch(self) -> list[tuple[ReadableSpan, int]] | None:
        """What to send now, after a wait; empty when there is nothing, None at the end."""
        with self._changed:
            if not self._urgent and not self._closed and len(self._queue) < (_BATCH_SPANS if not self._failures else 1 << 62):
                self._changed.wait(min(max(_EVERY_SECONDS * 2**self._failures, self._pause), _LONGEST_WAIT))
            if self._closed:
                return None
            batch: list[tuple[ReadableSpan, int]] = []
            size = 0
            while self._queue and len(batch) < _BATCH_SPANS and (not batch or size + self._queue[0][1] <= _BATCH_BYTES):
                batch.append(self._queue.popleft())
                size += batch[-1][1]
            self._bytes -= size
            self._busy = len(batch)
            if not batch:
                self._urgent = False
                self._changed.notify_all()
            return batch

    def _send(self, post: _Post, batch: Sequence[tuple[ReadableSpan, int]]) -> None:
        problem, back = "", False
        try:
            rejected = post.spans([each for each, _ in batch])
        except Away as error:
            problem, back = str(error), True
            self._pause = error.retry_after or 0.0
        except Exception as error:  # noqa: BLE001  (the thread's boundary: nothing of it may reach the program)
            problem = str(error) or type(error).__name__
        else:
            problem = f"{rejected} spans were rejected" if rejected else ""
            self.sent += len(batch) - rejected
            self.dropped += rejected
        with self._changed:
            self._busy = 0
            self._failures = min(self._failures + 1, 6) if problem else 0
            if back:
                self._urgent = False  # whoever waits need not wait for a server that is away
                self._queue.extendleft(reversed(batch))
                self._bytes += sum(size for _, size in batch)
            elif problem and not problem.endswith("rejected"):
                self.dropped += len(batch)
            self._changed.notify_all()
        self._say(problem)

    def _say(self, problem: str) -> None:
        if problem and not self._said:
            _log.warning("spans cannot be sent to %s: %s", self._address.url, problem)
        elif self._said and not problem:
            _log.warning("spans are sent to %s again", self._address.url)
        self._said = problem


class _Post:
    """One connection that is kept open."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: http.client.HTTPConnection | None = None

    def spans(self, spans: Sequence[ReadableSpan]) -> int:
        """Send; how many were rejected. Raises `Away` or `Refused`."""
        body = zlib.compress(encode_spans(spans).SerializeToString(), 1, 31)
        try:
            status, headers, answer = self._post(body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            try:
                status, headers, answer = self._post(body)  # a kept connection may have been closed meanwhile
            except (OSError, http.client.HTTPException):
                self.close()
                raise Away(str(error) or type(error).__name__) from error
        if status in _AGAIN or status in {401, 404}:  # a server that starts, or whose token comes later
            raise Away(f"it answers {status}", _seconds(headers.get("retry-after")))
        if not 200 <= status < 300:
            raise Refused(f"it answers {status}: {answer[:300].decode('utf-8', 'replace')}")
        return _rejected(answer, headers.get("content-type", ""))

    def _post(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        url = urlsplit(self._address.url)
        if self._connection is None:
            kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(url.hostname or "localhost", url.port, timeout=_TIMEOUT)
        headers = {"content-type": "application/x-protobuf", "content-encoding": "gzip", **self._address.headers()}
        self._connection.request("POST", url.path, body, headers)
        answer = self._connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _rejected(answer: bytes, media: str) -> int:
    if not answer or "protobuf" not in media:
        return 0
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse  # noqa: PLC0415  (heavy)

    return int(ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans)


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.isdigit() else None


def _size_of(span: ReadableSpan) -> int:
    """About how many bytes it holds."""
    attributes = span.attributes or {}
    return 400 + sum(len(each) for each in attributes.values() if isinstance(each, str))


def _flush_in_children(sender: Sender) -> None:
    """Processes of `multiprocessing` end without `atexit`: send there what they made, too."""

    def register(mine: Sender) -> None:
        from multiprocessing.util import Finalize  # noqa: PLC0415  (only in such a process)

        Finalize(mine, mine.shutdown, exitpriority=10)

    if sys.platform != "win32":
        from multiprocessing import util  # noqa: PLC0415  (kept off the import path)

        after_fork: Callable[[Any, Callable[[Any], None]], None] = util.register_after_fork
        after_fork(sender, register)
