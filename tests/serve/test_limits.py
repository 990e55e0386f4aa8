"""The stock clients meet limits as they know them from their own providers."""

from __future__ import annotations

import asyncio
import contextlib

import openai
import pytest

from serve.platform import PROJECT, serving
from tidemill.core.clock import SystemClock
from tidemill.models.limits.ledger import Ledger
from tidemill.models.limits.limiter import Limits
from tidemill.models.limits.memory import MemoryCounters
from tidemill.models.limits.queueing import Places
from tidemill.models.limits.rules import read_limits
from tidemill.store import access
from tidemill.store.usage import day_of, usage_of

pytestmark = pytest.mark.anyio

APP = """
kind: model
name: slow
provider: test
reply: "one two three four five six seven eight nine ten"
tokens_per_second: 20
---
kind: model
name: quick
provider: test
"""


@contextlib.asynccontextmanager
async def limited(folder, *, capacity=100, waiting=10, wait=5.0):
    clock = SystemClock()
    async with serving(folder) as platform:
        await platform.apply(APP)
        limits = Limits(
            database=platform.database,
            counters=MemoryCounters(clock),
            clock=clock,
            places=Places(capacity=capacity, most_waiting=waiting, most_wait=wait, clock=clock),
            ledger=Ledger(platform.database, every=0.01),
        )
        platform.models.limiter = limits
        yield platform, limits
        await limits.close()


def client(platform, **limits):
    spec = read_limits(limits) if limits else None
    made = platform.database.write_sync(lambda db: access.create_key(db, PROJECT, now_ns=platform.clock.now_ns(), limits=spec))
    return made[0], openai.AsyncOpenAI(base_url=f"{platform.url}/v1", api_key=made[1], max_retries=0)


def used(platform, key):
    today = day_of(platform.clock.now_ns())
    found = platform.database.read_sync(lambda db: usage_of(db, PROJECT, [f"key/{key}"], since=today, until=today))
    return found[f"key/{key}"]


def ask(caller, model="model/quick", **fields):
    return caller.chat.completions.create(model=model, messages=[{"role": "user", "content": "one two"}], **fields)


async def test_the_openai_client_sees_a_limit_as_one(tmp_path):
    async with limited(tmp_path) as (platform, _):
        _, caller = client(platform, rpm=1)
        first = await caller.chat.completions.with_raw_response.create(
            model="model/quick", messages=[{"role": "user", "content": "one two"}]
        )
        assert first.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError) as refused:
            await ask(caller)
        assert refused.value.code == "rate_limit_exceeded"
        assert int(refused.value.response.headers["retry-after"]) > 1
        assert refused.value.response.headers["x-ratelimit-limit-requests"] == "1"
        await caller.close()


async def test_a_stream_that_is_left_is_charged_and_its_place_is_free(tmp_path):
    async with limited(tmp_path) as (platform, limits):
        key, caller = client(platform, concurrency=1)
        freed, give_back = asyncio.Event(), limits.give_back
        stream = await ask(caller, "model/slow", stream=True)
        await anext(aiter(stream))
        with pytest.raises(openai.RateLimitError):
            await ask(caller)
        limits.give_back = lambda ticket: (give_back(ticket), freed.set())
        await stream.close()
        await caller.close()
        async with asyncio.timeout(10):
            await freed.wait()
        _, again = client(platform)
        await limits.ledger.flush()
        assert used(platform, key).requests == 1
        assert used(platform, key).input_tokens > 0
        await ask(again)
        await again.close()


async def test_too_many_at_once_wait_and_the_rest_is_turned_away(tmp_path):
    async with limited(tmp_path, capacity=1, waiting=2) as (platform, _):
        _, caller = client(platform)
        answers = await asyncio.gather(*(ask(caller, "model/slow") for _ in range(6)), return_exceptions=True)
        refused = [each for each in answers if isinstance(each, openai.APIStatusError)]
        assert [each.status_code for each in refused] == [503] * len(refused)
        assert all(each.code == "overloaded" and int(each.response.headers["retry-after"]) >= 1 for each in refused)
        assert 1 <= 6 - len(refused) <= 3
        await caller.close()


async def test_a_deadline_holds_in_the_queue(tmp_path):
    async with limited(tmp_path, capacity=1) as (platform, _):
        _, caller = client(platform)
        going = asyncio.create_task(ask(caller, "model/slow", stream=True))
        stream = await going
        with pytest.raises(openai.APIStatusError) as late:
            await ask(caller, extra_headers={"x-tidemill-timeout": "50ms"})
        assert late.value.status_code == 504
        await stream.close()
        await caller.close()
