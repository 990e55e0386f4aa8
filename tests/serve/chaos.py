"""A gateway that is asked about 100 times a second while its targets misbehave and its routes and keys change.

The gateway, its upstreams and who asks are processes of their own: what is measured is the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import statistics
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import aiohttp

from e2e.processes import Server
from serve.routed import SAID, Reply, ask, model
from tidemill.testing.misbehaviour import BEHAVIOURS
from tidemill.testing.upstreams import UpstreamProcess, upstream_process

RATE = 100  # requests a second
GOOD = ("answers", "trickle", "lies_about_usage")
HEAVY = ("huge_line", "zip_bomb")  # tens of megabytes each: asked for one request in 25
BAD = tuple(name for name, each in BEHAVIOURS.items() if each.fault != "none")
BREAKS_OFF = {name.replace("_", "-") for name, each in BEHAVIOURS.items() if each.fault == "within"}
ALLOWED = 2.0  # seconds that a route gives a target
MOST = 400  # requests under way: a machine that is too busy for the rate takes longer, and `Found` says what it was


def route(chance: random.Random, number: int) -> str:
    """A route over some of the bad and at least one of the good, in another way each time."""
    names = [*chance.sample(BAD, 6), *chance.sample(GOOD, chance.randint(1, 2))]
    chance.shuffle(names)
    targets = ", ".join(
        f"{{model: model/{name.replace('_', '-')}, weight: {chance.randint(1, 4)}, order: {chance.randint(0, 2)}"
        + (""", when: '"heavy" in tags'}""" if name in HEAVY else "}")
        for name in names
    )
    strategy = ("weighted", "ordered", "latency", "load", "cost")[number % 5]
    more = ("", ", hedge: {after: 200ms, share: 0.2}", ", sticky: session", ", affinity: {load: 1.5}")[number % 4]
    return (
        f"{{kind: route, name: answers, targets: [{targets}], strategy: {strategy}, timeout: {ALLOWED}, first_token: {ALLOWED},"
        f" longest: 4s, fallback: {{attempts: 12}}, breaker: {{failures: 2, pause: 2s, window: 10s}}{more}}}"
    )


@dataclass
class World:
    """The processes, and the way to each."""

    server: Server
    http: aiohttp.ClientSession
    processes: list[UpstreamProcess]

    @property
    def urls(self) -> Mapping[str, str]:
        return {name: url for each in self.processes for name, url in each.urls.items()}

    @property
    def asked(self) -> Counter[str]:
        return Counter({name: count for each in self.processes for name, count in each.asked.items()})

    async def change(self, path: str, body: object):
        """Change something as an admin does."""
        headers = {"authorization": f"Bearer {self.server.token}"}
        async with self.http.post(f"{self.server.url}{self.server.api}{path}", json=body, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def end(self, path: str) -> None:
        """Delete something as an admin does."""
        headers = {"authorization": f"Bearer {self.server.token}"}
        async with self.http.delete(f"{self.server.url}{self.server.api}{path}", headers=headers) as answer:
            assert answer.status == 204, await answer.text()

    async def apply(self, text: str) -> None:
        await self.change("/apply", {"files": {"tidemill/chaos.yaml": text}})


@contextlib.asynccontextmanager
async def world(folder) -> AsyncIterator[World]:
    """A gateway, the upstreams in three processes (those that are heavy, bad, good), and a client without limits."""
    starting = asyncio.create_task(asyncio.to_thread(Server, folder))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(_stop, starting)
        light = [each for each in BAD if each not in HEAVY]
        processes = [await stack.enter_async_context(upstream_process(*each)) for each in (GOOD, light, HEAVY)]
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        made = World(await starting, http, processes)
        await made.apply("".join(model(name.replace("_", "-"), url, timeout=10) for name, url in made.urls.items()))
        yield made


async def _stop(starting: asyncio.Task[Server]) -> None:
    server = await starting
    assert await asyncio.to_thread(server.stop) == 0, server.log.read_text()
    assert "Traceback" not in server.log.read_text(), server.log.read_text()


@dataclass(frozen=True, slots=True)
class Failure:
    began: float
    ended: float
    what: str


@dataclass
class Found:
    """What came of a storm. `unwell`: when a good upstream, asked straight, did not answer within `ALLOWED`."""

    requests: int = 0
    rate: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    watched: list[float] = field(default_factory=list)
    unwell: list[tuple[float, float]] = field(default_factory=list)
    routes: int = 0
    keys: int = 0

    @property
    def needless(self) -> list[str]:
        """What failed although a good upstream answered all the while."""
        return [
            each.what
            for each in self.failures
            if not any(began < each.ended and ended > each.began for began, ended in self.unwell)
        ]

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {self.rate:.0f} a second: {dict(self.ends)}, "
            f"{len(self.failures)} failed, {len(self.needless)} of them needlessly; "
            f"seconds: {_spread(self.seconds)}; good upstreams asked straight: {_spread(self.watched)}, "
            f"{len(self.unwell)} times unwell; {self.routes} routes, {self.keys} keys"
        )


def _spread(seconds: list[float]) -> str:
    if len(seconds) < 2:
        return "too few"
    cuts = statistics.quantiles(seconds, n=100)
    return f"p50 {cuts[49]:.3f} p99 {cuts[98]:.3f} longest {max(seconds):.3f}"


class Storm:
    """Requests at a steady rate, each with the key of its moment."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.key: dict[str, str] = {}
        self.found = Found()
        self._asking: Counter[str] = Counter()
        self._may = asyncio.Semaphore(MOST)
        self._time = asyncio.get_running_loop().time

    async def blow(self, *, seconds: float) -> Found:
        """Ask as often as in so many seconds, and wait for every answer; a machine that is too busy takes longer."""
        await self.world.apply(route(self.chance, 0))
        self.key = await self.world.change("/keys", {})
        work = [self._change_routes(), self._change_keys(), *map(self._watch, GOOD)]
        changing = [asyncio.create_task(each) for each in work]
        try:
            began = self._time()
            async with asyncio.TaskGroup() as tasks:
                for number in range(int(seconds * RATE)):
                    await self._may.acquire()
                    self.found.requests += 1
                    tasks.create_task(self._one(number)).add_done_callback(lambda _: self._may.release())
                    await asyncio.sleep(max(0.0, began + (number + 1) / RATE - self._time()))
                self.found.rate = self.found.requests / (self._time() - began)
            assert not any(each.done() for each in changing), [each.exception() for each in changing if each.done()]
        finally:
            for each in changing:
                each.cancel()
            await asyncio.gather(*changing, return_exceptions=True)
        return self.found

    async def _one(self, number: int) -> None:
        stream, began, key = number % 2 == 1, self._time(), self.key["key"]
        headers = {"x-tidemill-session": f"s{number % 7}", "x-tidemill-tags": "" if number % 25 else "heavy"}
        self._asking[key] += 1
        try:
            reply = await ask(self.world.http, self.world.server.url, "route/answers", stream=stream, key=key, headers=headers)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is counted)
            self._failed(began, f"{number}: {error!r}")
            return
        finally:
            self._asking[key] -= 1
        self.found.seconds.append(self._time() - began)
        if is_whole(reply):
            self.found.ends["stream" if stream else "whole"] += 1
        elif stream and is_told(reply):
            self.found.ends["told that it broke off"] += 1
        else:
            self._failed(began, f"{number}: {reply.status} {reply.text!r} {reply.error} {reply.model}")

    def _failed(self, began: float, what: str) -> None:
        self.found.failures.append(Failure(began, self._time(), what))

    async def _change_routes(self) -> None:
        for number in itertools.count(1):
            await self.world.apply(route(self.chance, number))
            self.found.routes += 1
            await asyncio.sleep(0.25)

    async def _change_keys(self) -> None:
        """A new key takes over; an old one ends when nobody is on the way with it, for it may not have been let in yet."""
        old: list[dict] = []
        while True:
            old.append(self.key)
            self.key = await self.world.change(f"/keys/{self.key['id']}:rotate", {"overlap": "1h"})
            self.found.keys += 1
            for each in [each for each in old if not self._asking[each["key"]]]:
                await self.world.end(f"/keys/{each['id']}")
                old.remove(each)
            await asyncio.sleep(0.2)

    async def _watch(self, name: str) -> None:
        """Ask a good upstream straight, so that it is known whether it could have served."""
        while True:
            began = self._time()
            with contextlib.suppress(TimeoutError, aiohttp.ClientError):
                async with asyncio.timeout(2 * ALLOWED):
                    await ask(self.world.http, self.world.urls[name].removesuffix("/v1"), name, stream=True, key="")
            self.found.watched.append(self._time() - began)
            if self.found.watched[-1] > ALLOWED:
                self.found.unwell.append((began, self._time()))
            await asyncio.sleep(0.1)


def is_whole(reply: Reply) -> bool:
    """Served: with all that was to be said, and nothing else."""
    return reply.status == 200 and reply.text == SAID and reply.error is None and reply.ended


def is_told(reply: Reply) -> bool:
    """A stream that broke off at a target that does so, with a word of it or more gone out, and that says so."""
    if not reply.text or reply.error is None or reply.model not in BREAKS_OFF:
        return False
    return "had begun" in reply.error["message"] or reply.error["message"] == "the engine stopped"
