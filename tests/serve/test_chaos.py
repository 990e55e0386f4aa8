"""Every bad upstream at once, about 100 requests a second, while routes and keys change: nobody fails who need not."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter

import pytest

from serve.platform import PROJECT
from serve.routed import SAID, ask, model, world
from tidemill.store import access
from tidemill.testing.misbehaviour import BEHAVIOURS

pytestmark = pytest.mark.anyio

RATE = 100  # requests a second
BAD = [name for name, each in BEHAVIOURS.items() if each.fault != "none"]
HEAVY = {"huge_line", "zip_bomb"}  # tens of megabytes each: asked for one request in 25
GOOD = ["answers", "trickle", "lies_about_usage"]


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
        f"{{kind: route, name: answers, targets: [{targets}], strategy: {strategy}, timeout: 2s, first_token: 2s, longest: 4s,"
        f" fallback: {{attempts: 12}}, breaker: {{failures: 2, pause: 2s, window: 10s}}{more}}}"
    )


class Storm:
    """Requests at a steady rate, each with the key of its moment."""

    def __init__(self, platform, http, *, seconds: float) -> None:
        self.platform = platform
        self.http = http
        self.requests = int(seconds * RATE)
        self.key = ""
        self.asking = Counter()
        self.found = Counter()
        self.failed: list[str] = []

    async def one(self, number: int) -> None:
        key, stream = self.key, number % 2 == 1
        self.asking[key] += 1
        try:
            headers = {"x-tidemill-session": f"s{number % 7}", "x-tidemill-tags": "" if number % 25 else "heavy"}
            reply = await ask(self.http, self.platform.url, "route/answers", stream=stream, key=key, headers=headers)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is counted)
            self.failed.append(f"{number}: {error!r}")
            return
        finally:
            self.asking[key] -= 1
        if reply.status == 200 and reply.text == SAID and reply.error is None and reply.ended:
            self.found["stream" if stream else "whole"] += 1
        elif stream and reply.text and reply.error is not None and _is_told(reply.error["message"]):
            self.found["told that it broke off"] += 1
        else:
            self.failed.append(
                f"{number}: {reply.status} {reply.text!r} {reply.error} {reply.headers.get('x-tidemill-target')}"
            )

    async def blow(self) -> None:
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tasks:
            for number in range(self.requests):
                tasks.create_task(self.one(number))
                ahead = began + (number + 1) / RATE - asyncio.get_running_loop().time()
                await asyncio.sleep(max(0.0, ahead))

    async def change_routes(self, chance: random.Random) -> None:
        for number in itertools.count():
            await self.platform.apply(route(chance, number))
            await asyncio.sleep(0.25)

    async def change_keys(self) -> None:
        """A new key takes over; the old one is revoked when nobody is on the way with it."""
        while True:
            old, self.key = self.key, await self.platform.key()
            while self.asking[old]:  # noqa: ASYNC110  (as often as it changes)
                await asyncio.sleep(0.05)
            if old:
                await self.platform.database.write(lambda db, old=old: _revoke(db, old, self.platform.clock.now_ns()))
            await asyncio.sleep(0.2)


def _is_told(message: str) -> bool:
    """Whether a stream that broke off says why nothing else was asked, or what the provider said."""
    return "had begun" in message or message == "the engine stopped"


def _revoke(db, key: str, now_ns: int) -> None:
    access.revoke_key(db, PROJECT, key.split("_")[1], now_ns=now_ns)


async def blown(folder, *, seconds: float, seed: int) -> Counter:
    chance = random.Random(seed)
    async with world(folder, *BAD, *GOOD) as (platform, upstreams, http):
        documents = "".join(model(name, each, timeout=3) for name, each in upstreams.items())
        await platform.apply(documents + route(chance, 0))
        storm = Storm(platform, http, seconds=seconds)
        storm.key = await platform.key()
        changing = [asyncio.create_task(storm.change_routes(chance)), asyncio.create_task(storm.change_keys())]
        try:
            await storm.blow()
        finally:
            for each in changing:
                each.cancel()
            await asyncio.gather(*changing, return_exceptions=True)
        assert not storm.failed, f"{len(storm.failed)} of {storm.requests}, {storm.found}: {storm.failed[:5]}"
        asked = {name: sum(each.asked.values()) for name, each in upstreams.items()}
    bad = sum(asked[name.replace("_", "-")] for name in BAD)
    assert bad > 0
    assert sum(storm.found.values()) == storm.requests
    return storm.found


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_nobody_fails_whom_a_healthy_target_could_have_served(tmp_path):
    found = await blown(tmp_path, seconds=4, seed=1)
    assert found["whole"] > 150
    assert found["stream"] > 50


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [2, 3, 4])
async def test_the_same_for_two_minutes(tmp_path, seed):
    found = await blown(tmp_path, seconds=120, seed=seed)
    assert found["whole"] > 5000
