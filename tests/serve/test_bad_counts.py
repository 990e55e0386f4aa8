"""A provider that lies about what it used, or says nothing: the answer counts all the same, and no limit is spoilt."""

from __future__ import annotations

import json

import httpx
import orjson
import pytest

from serve.platform import listening, whole_body
from serve.test_limits import client, limited, used

pytestmark = pytest.mark.anyio

LIES = {
    "nothing": None,
    "a list": [1, 2],
    "text": "many",
    "an empty object": {},
    "nulls": {"prompt_tokens": None, "completion_tokens": None},
    "texts": {"prompt_tokens": "9", "completion_tokens": "many"},
    "below zero": {"prompt_tokens": -5, "completion_tokens": -7, "total_tokens": -12},
    "huge": {"prompt_tokens": 10**15, "completion_tokens": 10**15},
    "huge on one side": {"prompt_tokens": 9, "completion_tokens": 10**12},
    "beyond all integers": {"prompt_tokens": 1e30, "completion_tokens": 10**40},
    "parts above the whole": {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 10**9}},
    "objects": {"prompt_tokens": {"a": 1}, "completion_tokens": [3]},
}
SAID = "high water at noon"


class Liar:
    """Answers chat completions and embeddings with whatever `usage` is."""

    def __init__(self) -> None:
        self.usage = None

    async def __call__(self, scope, receive, send):
        body = await whole_body(receive)
        asked = orjson.loads(body)
        usage = {} if self.usage is None else {"usage": self.usage}
        if "input" in asked:
            row = {"object": "embedding", "index": 0, "embedding": [0.5, 0.5]}
            await self._whole(send, {"object": "list", "model": "m", "data": [row], **usage})
        elif asked.get("stream"):
            await self._stream(send, usage)
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": SAID}, "finish_reason": "stop"}
            await self._whole(send, {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], **usage})

    async def _whole(self, send, answer):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": _json(answer)})

    async def _stream(self, send, usage):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        events = [
            {"choices": [{"index": 0, "delta": {"content": SAID}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"choices": [], **usage},
        ]
        for each in events:
            line = b"data: " + _json({"object": "chat.completion.chunk", "model": "m", **each}) + b"\n\n"
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def _json(value) -> bytes:
    """JSON with numbers of any size."""
    return json.dumps(value).encode()


def app(url):
    return f"""
{{kind: connection, name: c, provider: openai, base_url: "{url}/v1", allow_private: true}}
---
{{kind: model, name: liar, provider: openai, model: m, connection: c}}
---
{{kind: embedder, name: liar, provider: openai, model: m, connection: c}}
---
{{kind: prompt, name: liar, model: model/liar, text: "{{{{question}}}}"}}
"""


ASKED = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "when?"}]}, True),
    "messages": ("/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": "when?"}]}, True),
    "responses": ("/v1/responses", {"input": "when?"}, True),
    "embeddings": ("/v1/embeddings", {"input": ["when?"]}, False),
    "an embedder's": ("/v1/embeddings", {"model": "embedder/liar", "input": ["when?"]}, False),
    "an application's": (
        "/v1/chat/completions",
        {"model": "prompt/liar", "messages": [{"role": "user", "content": "?"}]},
        True,
    ),
}


@pytest.mark.parametrize("door", ASKED)
async def test_a_lie_neither_fails_a_request_nor_spoils_the_limits(tmp_path, door):
    path, body, streams = ASKED[door]
    liar = Liar()
    async with listening(liar) as url, limited(tmp_path) as (platform, limits):
        await platform.apply(app(url))
        for name, lie in LIES.items():
            liar.usage = lie
            key, caller = client(platform, tpm=5000, tpd=5000, budget="1/month")
            headers = {"authorization": f"Bearer {caller.api_key}"}
            async with httpx.AsyncClient(base_url=platform.url, headers=headers) as http:
                times = 0
                for stream in (False, True) if streams else (False,):
                    for _ in range(2):
                        answer = await http.post(path, json={"model": "model/liar", **body, "stream": stream})
                        times += 1
                        assert answer.status_code == 200, (name, stream, answer.text)
                        assert SAID in answer.text or not streams, (name, stream)
            await limits.ledger.flush()
            counted = used(platform, key)
            assert counted.requests == times, name
            assert 0 < counted.input_tokens < 1000, name
            assert 0 <= counted.output_tokens < 1000, name
            assert 0 <= (counted.cost or 0) < 1, name
            asked = [each for each in platform.spans if each.kind in {"llm", "embedding"}]
            assert sum(each.usage.input_tokens for each in asked) == counted.input_tokens, "a trace says what was charged"
            assert all(0 <= each.usage.output_tokens < 1000 and (each.cost or 0) >= 0 for each in platform.spans), name
            platform.spans.clear()
            await caller.close()
