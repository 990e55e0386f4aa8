"""Exports that go on while the server, and the span store's own process, are killed again and again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from e2e.processes import Server
from telemetry.otlp_requests import export, span

SPANS = 20
SENDERS = 3


@dataclass
class Sent:
    """What was sent, by trace: in which of them every span was acknowledged. A batch is sent again until it is."""

    begun: set[int] = field(default_factory=set)
    acknowledged: set[int] = field(default_factory=set)
    again: int = 0
    kills: dict[str, int] = field(default_factory=lambda: {"server": 0, "store": 0})


class Sender(threading.Thread):
    """Sends one batch after the other, each again and again until it is acknowledged, as an exporter does."""

    def __init__(self, number: int, sent: Sent) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.sent = sent
        self.server: Server | None = None
        self.done = threading.Event()

    def run(self) -> None:
        for batch in range(1_000_000):
            trace = (self.number + 1) << 64 | (batch + 1)
            body = request_of(trace, seed=batch).SerializeToString()
            self.sent.begun.add(trace)
            while not self._send(body):
                if self.done.is_set():
                    return
                self.sent.again += 1
            self.sent.acknowledged.add(trace)
            if self.done.is_set():
                return

    def _send(self, body: bytes) -> bool:
        server = self.server
        if server is None:
            self.done.wait(0.02)
            return False
        headers = {"content-type": "application/x-protobuf", "authorization": f"Bearer {server.token}"}
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.post(f"{server.url}/v1/traces", content=body, headers=headers, timeout=30, trust_env=False)
            return answer.status_code == 200 and not answer.content
        return False


def request_of(trace: int, *, seed: int) -> ExportTraceServiceRequest:
    """One trace: a root and what is below it."""
    text = "the tide turns " * (1 + seed % 20)
    return export(
        *(span(number, trace=trace, parent=1 if number > 1 else None, attributes={"k": text}) for number in range(1, SPANS + 1))
    )


def kill_again_and_again(folder: Path, *, kills: int, seed: int) -> Sent:
    """The span store's process is killed while the server goes on, up to three times; then the server."""
    chance, sent = random.Random(seed), Sent()
    senders = [Sender(number, sent) for number in range(SENDERS)]
    for each in senders:
        each.start()
    while sum(sent.kills.values()) < kills:
        server = Server(folder)
        for each in senders:
            each.server = server
        before = len(sent.acknowledged)
        while len(sent.acknowledged) < before + 3:  # it works again
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.4))
        for _ in range(chance.randint(1, 3)):
            pid = store_of(server)
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    sent.kills["store"] += 1
            time.sleep(chance.uniform(0, 0.4))
        server.process.kill()
        sent.kills["server"] += 1
        for each in senders:
            each.server = None
        server.kill()
    server = Server(folder)
    for each in senders:
        each.server = server
        each.done.set()
    for each in senders:
        each.join(60)
    assert server.stop() == 0
    return sent


def store_of(server: Server) -> int | None:
    """The process of the span store, while there is one."""
    own = server.process.pid
    for each in Path(f"/proc/{own}/task/{own}/children").read_text().split():
        with contextlib.suppress(OSError):
            if b"tidemill.telemetry.engine.child" in Path(f"/proc/{each}/cmdline").read_bytes():
                return int(each)
    return None
