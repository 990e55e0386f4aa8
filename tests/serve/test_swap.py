"""Deploying while requests are in flight: none fails, and each ends on the release that it began with."""

import asyncio

import pytest

from serve.platform import PROJECT, serving
from tidemill.core.errors import Conflict, NotFound

pytestmark = pytest.mark.anyio

REQUESTS = 300
CALLERS = 50
ROUNDS = 2


def app(word):
    return f"""
kind: model
name: answers
provider: test
reply: "{word} {word} {word} {word}"
tokens_per_second: 400
---
kind: prompt
name: ask
text: "{{{{question}}}}"
---
kind: chain
name: tide
inputs: {{question: string}}
steps:
  - {{id: answer, prompt: prompt/ask, model: model/answers, with: {{question: "{{{{question}}}}"}}}}
output: "{{{{answer.text}}}}"
"""


async def test_no_request_fails_while_releases_are_swapped(tmp_path):
    words = ("ebb", "flood", "slack")
    async with serving(tmp_path) as platform:
        releases = {}
        for word in words:
            await platform.apply(app(word))
            releases[await platform.deploy("chain/tide", "tide")] = word
        client = await platform.client()
        seen = []
        answered = asyncio.Event()

        async def ask(number):
            ask = {"model": "tide", "messages": [{"role": "user", "content": str(number)}]}
            if number % 2:
                raw = await client.chat.completions.with_raw_response.create(**ask)
                text = raw.parse().choices[0].message.content
                release = raw.headers["x-tidemill-release"]
            else:
                chunks = [each async for each in await client.chat.completions.create(**ask, stream=True)]
                text = "".join(each.choices[0].delta.content or "" for each in chunks)
                release = chunks[-1].tidemill["release"]
            seen.append(release)
            answered.set()
            assert text == " ".join([releases[release]] * 4)

        asking = True

        async def keep_asking(worker):
            while asking or len(seen) < REQUESTS:
                await ask(worker)

        async with asyncio.TaskGroup() as group:
            for worker in range(CALLERS):
                group.create_task(keep_asking(worker))
            for word in words * ROUNDS:
                await platform.apply(app(word))
                await platform.deploy("chain/tide", "tide")
                seen_before = len(seen)
                while len(seen) < seen_before + CALLERS:
                    await asyncio.wait_for(answered.wait(), timeout=30)
                    answered.clear()
            await platform.rollback("tide")
            asking = False
        assert len(seen) >= REQUESTS
        assert set(seen) == set(releases)


async def test_rollback_restores_the_last_release(tmp_path):
    async with serving(tmp_path) as platform:
        await platform.apply(app("ebb"))
        first = await platform.deploy("chain/tide", "tide")
        with pytest.raises(Conflict):
            await platform.rollback("tide")
        await platform.apply(app("flood"))
        await platform.deploy("chain/tide", "tide")
        client = await platform.client()
        ask = {"model": "tide", "messages": [{"role": "user", "content": "?"}]}
        assert (await client.chat.completions.create(**ask)).choices[0].message.content.startswith("flood")
        await platform.rollback("tide")
        answer = await client.chat.completions.create(**ask)
        assert answer.choices[0].message.content.startswith("ebb")
        assert answer.tidemill["release"] == first
        with pytest.raises(NotFound):
            await platform.live.get(PROJECT, "tode")
