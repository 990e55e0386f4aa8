"""A client that costs next to nothing: one keep-alive connection a caller, requests written once, answers only measured."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import statistics
import time
from pathlib import Path
from urllib.parse import urlsplit

from bench.measure import _family, family_memory

QUESTION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "When is high water at Husum?"}]


class Caller(asyncio.Protocol):
    """One connection, over which one request goes at a time."""

    def __init__(self):
        self.held, self.begun, self.first, self.waiter = b"", 0.0, 0.0, None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.held += data
        head, found, body = self.held.partition(b"\r\n\r\n")
        if not found or self.waiter is None:
            return
        if not self.first and body:
            self.first = time.perf_counter()
        head = head.lower()
        sized = head.find(b"content-length:")
        is_whole = len(body) >= int(head[sized + 15 :].split(b"\r\n", 1)[0]) if sized >= 0 else body.endswith(b"0\r\n\r\n")
        if is_whole:
            waiter, self.waiter, self.held = self.waiter, None, b""
            if head.startswith(b"http/1.1 200"):
                waiter.set_result(None)
            else:
                waiter.set_exception(RuntimeError((head + body)[:2000].decode("utf-8", "replace")))

    def connection_lost(self, _error):
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(ConnectionError("the server closed the connection"))

    async def ask(self, request):
        """Seconds until the end of the answer, and until the first of its body."""
        self.waiter, self.first, self.begun = asyncio.get_running_loop().create_future(), 0.0, time.perf_counter()
        self.transport.write(request)
        await self.waiter
        return time.perf_counter() - self.begun, self.first - self.begun


class Target:
    """One way to the same answer, and how it is asked."""

    def __init__(self, server, *, model="upstream", token="none", fresh=False):
        self.server, self.model, self.token, self.fresh = server, model, token, fresh
        self._numbers = itertools.count()
        self._requests = {stream: self._request(stream) for stream in (False, True)}

    def request(self, *, stream):
        """The bytes of a request; each another one where answers are kept and should not be found."""
        return self._request(stream, number=next(self._numbers)) if self.fresh else self._requests[stream]

    def _request(self, stream, number=None):
        said = QUESTION if number is None else [*QUESTION, {"role": "user", "content": f"{id(self)} {number}"}]
        also = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        body = json.dumps({"model": self.model, "messages": said, **also}).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {urlsplit(self.server.url).netloc}\r\naccept: */*\r\n"
            f"content-type: application/json\r\nauthorization: Bearer {self.token}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def connect(self, callers):
        """So many connections."""
        address, loop = urlsplit(self.server.url), asyncio.get_running_loop()
        return [(await loop.create_connection(Caller, address.hostname, address.port))[1] for _ in range(callers)]


class Load:
    """What some seconds of load showed: latencies, requests a second, CPU and memory of the server."""

    def __init__(self, times, took, before, after, memory):
        self.latencies = [each for each, _ in times]
        self.firsts = [first for _, first in times]
        self.requests = len(times)
        self.rate = len(times) / took
        self.cpu_ms, self.children_ms = ((now - then) * 1000 / len(times) for now, then in zip(after, before, strict=True))
        self.memory = memory

    def ms(self, share, *, first=False):
        """A quantile in milliseconds."""
        found = self.firsts if first else self.latencies
        if share == 0.5:
            return statistics.median(found) * 1000
        return statistics.quantiles(found, n=100)[round(share * 100) - 1] * 1000


async def load(target, *, callers, seconds, stream, warm=0.2):
    """Ask with so many callers for so long; the first share of it is not counted."""
    lines = await target.connect(callers)
    times = []

    async def one(place, end):
        while time.perf_counter() < end:
            if lines[place].transport.is_closing():
                lines[place] = (await target.connect(1))[0]
            times.append(await lines[place].ask(target.request(stream=stream)))

    async def all_until(end):
        await asyncio.gather(*(one(place, end) for place in range(callers)))

    try:
        await all_until(time.perf_counter() + seconds * warm)
        times.clear()
        before, start = cpu_seconds(target.server.pid), time.perf_counter()
        await all_until(start + seconds)
        took = time.perf_counter() - start
        return Load(times, took, before, cpu_seconds(target.server.pid), family_memory(target.server.pid) / 2**20)
    finally:
        for each in lines:
            each.transport.close()


async def by_turns(targets, *, rounds, stream):
    """The latencies of one caller, who asks each in turn: what disturbs one disturbs all."""
    lines = {each: (await each.connect(1))[0] for each in targets}
    times = {each: [] for each in targets}
    try:
        for number in range(rounds + rounds // 5):
            for each in targets:
                if lines[each].transport.is_closing():  # the others took longer than its server waits
                    lines[each] = (await each.connect(1))[0]
                took = await lines[each].ask(each.request(stream=stream))
                if number >= rounds // 5:
                    times[each].append(took)
    finally:
        for line in lines.values():
            line.transport.close()
    return times


def cpu_seconds(pid):
    """Of a process itself, to the nanosecond where the kernel says, and of its children together."""
    used = {each: _ticks(each) for each in _family(pid)}
    children = sum(used.values()) - used.get(pid, 0.0)
    try:
        own = sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9
    except OSError:
        own = used[pid]
    return own, children


def _ticks(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
