"""A platform with kept answers on the way, and a gate before its models at which every call that is made is counted."""

from __future__ import annotations

import asyncio
import contextlib

from serve.platform import Platform, serving
from tidemill.core.clock import SystemClock
from tidemill.models.cache.opened import open_cache

APP = """
kind: model
name: kept
provider: test
reply: "high water at {{input}} o'clock, number {{n}}"
cache: {ttl: 1h}
---
kind: model
name: shared
provider: test
reply: "shared {{n}}"
cache: {share: project}
---
kind: model
name: plain
provider: test
---
kind: embedder
name: words
provider: test
---
kind: model
name: meant
provider: test
reply: "meant {{n}}"
cache: {share: project, semantic: {embedder: embedder/words, threshold: 0.8}}
"""


class LateClock(SystemClock):
    """The system's clock, put forward by `late` seconds."""

    late = 0.0

    def now_ns(self):
        return super().now_ns() + int(self.late * 10**9)

    def monotonic(self):
        return super().monotonic() + self.late


class Gate:
    """A router before the platform's own."""

    def __init__(self, models):
        self.count = 0
        self.open = asyncio.Event()
        self.open.set()
        self.arrived = asyncio.Event()
        self.error = None
        self._router = models.router
        models.router = self

    async def run(self, call, attempt):
        self.count += 1
        self.arrived.set()
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return await self._router.run(call, attempt)

    def settled(self, call, model, spent, *, seconds):
        self._router.settled(call, model, spent, seconds=seconds)


class Kept:
    """`answers` is the cache, `gate` counts, `clock` is the cache's own."""

    def __init__(self, platform: Platform, **options):
        self.platform = platform
        self.clock = LateClock()
        self.answers = open_cache(models=platform.models, database=platform.database, clock=self.clock, **options)
        self.gate = Gate(platform.models)

    async def ask(self, text="three", *, http, model="model/kept", headers=None, **fields):
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        return await http.post("/v1/chat/completions", json=body, headers=headers or {})

    async def waiting(self, count):
        """Wait until so many wait for the answer of another."""
        flights = self.answers.flights
        while flights.waiting < count:  # noqa: ASYNC110  (they come by the network, and nobody is told)
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def keeping(folder, text=APP, **options):
    async with serving(folder, text) as platform:
        kept = Kept(platform, **options)
        yield kept
        await kept.answers.close()


def said(answer):
    """The text of a whole answer."""
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"]
