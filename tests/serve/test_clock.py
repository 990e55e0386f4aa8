"""The wall clock jumps by hours, in either direction, while requests come: who may call what stays as it is."""

from __future__ import annotations

import contextlib
import time

import httpx
import pytest

from serve.kept import APP as KEPT
from serve.kept import Kept, said
from serve.platform import ADMIN, PROJECT, serving
from serve.routed import SAID, ask, model, world
from tidemill.api.entry import Entry
from tidemill.core.clock import SystemClock
from tidemill.models.limits.ledger import Ledger
from tidemill.models.limits.limiter import Limits
from tidemill.models.limits.memory import MemoryCounters
from tidemill.models.limits.queueing import Places
from tidemill.models.limits.rules import read_limits
from tidemill.store import access

pytestmark = pytest.mark.anyio

HOURS = 3600.0
JUMPS = [5 * HOURS, -5 * HOURS, 30 * 24 * HOURS, -60 * 24 * HOURS, 0.0]
ASK = {"model": "model/plain", "messages": [{"role": "user", "content": "three"}]}


class JumpyClock(SystemClock):
    """The wall clock is set to anything; `passed` seconds have really gone by besides."""

    def __init__(self):
        self.off = 0.0
        self.passed = 0.0

    def now_ns(self):
        return super().now_ns() + int((self.off + self.passed) * 1e9)

    def monotonic(self):
        return super().monotonic() + self.passed


@contextlib.asynccontextmanager
async def ticking(folder):
    clock = JumpyClock()
    async with serving(folder, KEPT) as platform:
        entry = Entry(database=platform.database, clock=clock, admin_token_hash=access.hash_token(ADMIN))
        platform.plane._authenticate = lambda headers: entry.identify(headers, method="POST")
        platform.models.limiter = limits = Limits(
            database=platform.database,
            counters=MemoryCounters(clock),
            clock=clock,
            places=Places(capacity=9, most_waiting=9, most_wait=5.0, clock=clock),
            ledger=Ledger(platform.database, every=0.01),
        )
        async with httpx.AsyncClient(base_url=platform.url, timeout=30) as http:
            yield platform, clock, http
        await limits.close()
        await entry.stop()


def key(platform, clock, *, limits=None, seconds=None):
    now = clock.now_ns()
    more = {} if seconds is None else {"expires_ns": now + int(seconds * 1e9)}
    spec = read_limits(limits) if limits else None
    made = platform.database.write_sync(lambda db: access.create_key(db, PROJECT, now_ns=now, limits=spec, **more))
    return {"authorization": f"Bearer {made[1]}"}


async def status(http, headers):
    return (await http.post("/v1/chat/completions", json=ASK, headers=headers)).status_code


async def test_a_minute_is_a_minute_whatever_the_wall_says(tmp_path):
    async with ticking(tmp_path) as (platform, clock, http):
        headers = key(platform, clock, limits={"rpm": 2})
        assert [await status(http, headers) for _ in range(3)] == [200, 200, 429]
        for jump in JUMPS:
            clock.off = jump
            refused = await http.post("/v1/chat/completions", json=ASK, headers=headers)
            assert refused.status_code == 429, jump
            assert 1 <= int(refused.headers["retry-after"]) <= 61, jump
        clock.passed += 62
        assert await status(http, headers) == 200


async def test_what_was_spent_of_a_day_is_spent_when_the_clock_comes_back(tmp_path):
    async with ticking(tmp_path) as (platform, clock, http):
        headers = key(platform, clock, limits={"rpd": 2})
        assert [await status(http, headers) for _ in range(3)] == [200, 200, 429]
        clock.off = 48 * HOURS
        assert await status(http, headers) == 200, "it is another day, as far as anybody can tell"
        clock.off = 0.0
        assert await status(http, headers) == 429


async def test_a_key_expires_in_time_though_the_clock_is_set_back(tmp_path):
    async with ticking(tmp_path) as (platform, clock, http):
        headers, lasting = key(platform, clock, seconds=60), key(platform, clock)
        assert await status(http, headers) == 200
        clock.off = -5 * HOURS
        assert await status(http, headers) == 200
        clock.passed += 61
        assert await status(http, headers) == 401, "an hour by the wall is not what has gone by"
        assert await status(http, lasting) == 200
        clock.off = 0.0
        assert await status(http, headers) == 401
        clock.off = 5 * HOURS
        assert [await status(http, lasting), await status(http, headers)] == [200, 401]


async def test_kept_answers_do_not_outlive_a_clock_that_is_set_back(tmp_path):
    async with serving(tmp_path, KEPT) as platform:
        kept = Kept(platform)
        kept.clock = clock = JumpyClock()
        kept.answers._clock = kept.answers.shelf._clock = clock
        http = await platform.http()
        first = said(await kept.ask(http=http))
        assert said(await kept.ask(http=http)) == first
        await kept.answers.shelf.flush()
        clock.off = -5 * HOURS
        second = said(await kept.ask(http=http))
        assert second != first, "it is from the future, so it cannot be told how old it is"
        assert said(await kept.ask(http=http)) == second
        clock.off = 0.0
        third = said(await kept.ask(http=http))
        assert said(await kept.ask(http=http)) == third
        clock.off = 400 * 24 * HOURS
        assert said(await kept.ask(http=http)) not in {first, second, third}
        await kept.answers.close()


async def test_breakers_deadlines_and_failover_do_not_look_at_the_wall(tmp_path, monkeypatch):
    route = "{kind: route, name: answers, targets: [model/bad, model/good], timeout: 2s, breaker: {failures: 2, pause: 1m}}"
    real = time.time_ns
    async with world(tmp_path, "fails", "answers") as (platform, upstreams, http):
        await platform.apply(model("bad", upstreams["fails"]) + model("good", upstreams["answers"]) + route)
        made = await platform.key()
        for _ in range(4):
            assert (await ask(http, platform.url, "route/answers", key=made)).text == SAID
        seen = upstreams["fails"].asked["fails"]
        for jump in JUMPS:
            monkeypatch.setattr(time, "time_ns", lambda jump=jump: real() + int(jump * 1e9))
            for stream in (False, True):
                reply = await ask(
                    http, platform.url, "route/answers", key=made, stream=stream, headers={"x-tidemill-timeout": "5s"}
                )
                assert (reply.status, reply.text) == (200, SAID), jump
        assert upstreams["fails"].asked["fails"] == seen, "the breaker stays open for a minute that really goes by"
        assert all(each.end_ns >= each.start_ns for each in platform.spans)
