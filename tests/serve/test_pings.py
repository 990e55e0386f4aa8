"""A stream that has nothing to say shows that it lives, in a way that no client takes for an answer."""

from __future__ import annotations

import asyncio
import contextlib

import anthropic
import httpx
import openai
import orjson
import pytest

from serve.platform import listening, serving
from tidemill.serve.pings import Pings, Silence

pytestmark = pytest.mark.anyio

QUICK = Silence(before=0.1, within=0.03)
ASK = [{"role": "user", "content": "?"}]
DOORS = {
    "/v1/chat/completions": {"messages": ASK},
    "/v1/completions": {"prompt": "?"},
    "/v1/messages": {"messages": ASK, "max_tokens": 9},
    "/v1/responses": {"input": "?"},
}


class Thinker:
    """An upstream that says nothing until `first` is set, one word, and nothing until `rest` is set."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.rest = asyncio.Event()
        self.status = 200

    async def __call__(self, scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await self.first.wait()
        kind = b"text/event-stream" if self.status == 200 else b"application/json"
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"content-type", kind)]})
        if self.status != 200:
            await send({"type": "http.response.body", "body": b'{"error": {"message": "the engine overheated"}}'})
            return
        for text, finish in (("high ", None), ("water", None), (None, "stop")):
            choice = {"index": 0, "delta": {"content": text} if text else {}, "text": text or "", "finish_reason": finish}
            event = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            await send({"type": "http.response.body", "body": b"data: " + orjson.dumps(event) + b"\n\n", "more_body": True})
            if text == "high ":
                await self.rest.wait()
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def app(url):
    return f"""
{{kind: connection, name: c, provider: openai, base_url: "{url}/v1", allow_private: true}}
---
{{kind: model, name: slow, provider: openai, model: m, connection: c}}
---
{{kind: prompt, name: slow, model: model/slow, text: "{{{{question}}}}"}}
"""


@contextlib.asynccontextmanager
async def thinking(folder, *, silence=QUICK):
    thinker = Thinker()
    async with listening(thinker) as url, serving(folder, app(url), silence=silence) as platform:
        yield thinker, platform
        thinker.first.set()
        thinker.rest.set()


def is_ping(line: str) -> bool:
    return line in {": ping", 'data: {"type": "ping"}'}


@pytest.mark.parametrize(
    ("path", "model"),
    [
        *((path, "model/slow") for path in DOORS),
        *((path, "prompt/slow") for path in DOORS if path != "/v1/completions"),  # an application has none of a text
    ],
)
async def test_a_silent_stream_is_opened_and_kept_up(tmp_path, path, model):
    async with thinking(tmp_path) as (thinker, platform), asyncio.timeout(20):
        http = await platform.http()
        lines = []
        async with http.stream("POST", path, json={"model": model, "stream": True, **DOORS[path]}) as answer:
            assert answer.status_code == 200
            assert answer.headers["x-tidemill-trace"]
            pings = 0
            async for line in answer.aiter_lines():
                lines.append(line)
                if is_ping(line):
                    pings += 1
                    if pings == 3:
                        assert "high" not in "".join(lines)
                        thinker.first.set()
                    if pings == 6 and "high" in "".join(lines):
                        thinker.rest.set()
                if pings > 6:
                    thinker.rest.set()
    text = "\n".join(lines)
    before, _, after = text.partition("high")
    assert before.count("ping") >= 3
    assert "ping" in after.partition("water")[0], "also between two words"
    assert after.rpartition("water")[2].count("ping") == 0
    for event in text.split("\n\n"):
        data = [each[6:] for each in event.split("\n") if each.startswith("data: ")]
        assert len(data) <= 1, f"two events became one: {event!r}"
        if data and data[0] != "[DONE]":
            orjson.loads(data[0])


async def test_stock_clients_read_on(tmp_path):
    async with thinking(tmp_path) as (thinker, platform), asyncio.timeout(20):
        asyncio.get_running_loop().call_later(0.4, thinker.first.set)
        asyncio.get_running_loop().call_later(0.6, thinker.rest.set)
        key = await platform.key()
        async with openai.AsyncOpenAI(api_key=key, base_url=f"{platform.url}/v1", max_retries=0) as client:
            stream = await client.chat.completions.create(model="model/slow", messages=ASK, stream=True)
            assert "".join([each.choices[0].delta.content or "" async for each in stream]) == "high water"
            async with client.responses.stream(model="model/slow", input="?") as responses:
                assert (await responses.get_final_response()).output_text == "high water"
        async with anthropic.AsyncAnthropic(api_key=key, base_url=platform.url, max_retries=0) as client:
            thinker.first.clear()
            thinker.rest.clear()
            asyncio.get_running_loop().call_later(0.4, thinker.first.set)
            asyncio.get_running_loop().call_later(0.6, thinker.rest.set)
            async with client.messages.stream(model="model/slow", messages=ASK, max_tokens=9) as messages:
                assert await messages.get_final_text() == "high water"


@pytest.mark.parametrize("path", DOORS)
async def test_what_fails_after_a_ping_says_so_in_the_stream(tmp_path, path):
    async with thinking(tmp_path) as (thinker, platform), asyncio.timeout(20):
        thinker.status = 400
        http = await platform.http()
        lines = []
        async with http.stream("POST", path, json={"model": "model/slow", "stream": True, **DOORS[path]}) as answer:
            assert answer.status_code == 200
            async for line in answer.aiter_lines():
                lines.append(line)
                thinker.first.set()
    assert any("the engine overheated" in each for each in lines)
    assert [each.status for each in platform.spans] == ["error"]


async def test_what_fails_at_once_has_its_own_status(tmp_path):
    async with thinking(tmp_path, silence=Silence(before=30, within=0.03)) as (thinker, platform):
        thinker.status = 400
        asyncio.get_running_loop().call_later(0.2, thinker.first.set)
        http = await platform.http()
        answer = await http.post("/v1/chat/completions", json={"model": "model/slow", "stream": True, "messages": ASK})
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]


async def test_a_whole_answer_gets_none(tmp_path):
    async with serving(tmp_path, "{kind: model, name: m, provider: test, reply: yes}", silence=QUICK) as platform:
        http = await platform.http()
        answer = await http.post("/v1/chat/completions", json={"model": "model/m", "messages": ASK})
        assert answer.json()["choices"][0]["message"]["content"] == "yes"


async def test_a_caller_who_leaves_is_pinged_no_more(tmp_path, monkeypatch):
    ended, end = asyncio.Event(), Pings.end
    monkeypatch.setattr(Pings, "end", lambda self: (end(self), ended.set()))
    async with thinking(tmp_path) as (_, platform):
        http = await platform.http()
        body = {"model": "model/slow", "stream": True, "messages": ASK}
        with contextlib.suppress(httpx.HTTPError):
            async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
                async for line in answer.aiter_lines():
                    if is_ping(line):
                        break
        async with asyncio.timeout(10):
            await ended.wait()
        assert [each.status for each in platform.spans] == ["error"]
