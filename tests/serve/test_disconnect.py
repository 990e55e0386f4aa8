"""A caller who leaves stops the work below: the connection to the provider is closed."""

import asyncio

import httpx
import pytest

from serve.endless import Endless
from serve.platform import listening, serving

pytestmark = pytest.mark.anyio


def app(url):
    return f"""
kind: connection
name: openai
provider: openai
base_url: {url}/v1
allow_private: true
---
kind: model
name: slow
provider: openai
model: slow
---
kind: prompt
name: ask
text: "{{{{question}}}}"
---
kind: chain
name: slow
inputs: {{question: string}}
steps:
  - {{id: answer, prompt: prompt/ask, model: model/slow, with: {{question: "{{{{question}}}}"}}}}
output: "{{{{answer.text}}}}"
"""


@pytest.mark.parametrize("model", ["model/slow", "chain/slow"])
async def test_leaving_a_stream_closes_the_upstream(tmp_path, model):
    provider = Endless()
    async with listening(provider) as url, serving(tmp_path, app(url)) as platform:
        client = await platform.client()
        ask = {"model": model, "messages": [{"role": "user", "content": "?"}]}
        stream = await client.chat.completions.create(**ask, stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content == "drip ":
                break
        assert not provider.gone.is_set()
        await stream.close()
        async with asyncio.timeout(10):
            await provider.gone.wait()
    assert {each.status for each in platform.spans} == {"error"}


@pytest.mark.parametrize("model", ["model/slow", "chain/slow"])
async def test_leaving_while_waiting_closes_the_upstream(tmp_path, model):
    provider = Endless()
    async with listening(provider) as url, serving(tmp_path, app(url)) as platform:
        http = await platform.http()
        body = {"model": model, "messages": [{"role": "user", "content": "?"}]}
        asking = asyncio.create_task(http.post("/v1/chat/completions", json=body))
        async with asyncio.timeout(10):
            await provider.began.wait()
        asking.cancel()
        with pytest.raises((asyncio.CancelledError, httpx.HTTPError)):
            await asking
        async with asyncio.timeout(10):
            await provider.gone.wait()
