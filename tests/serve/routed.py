"""A platform with scripted upstreams behind a route, for tests of what happens when they fail."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import orjson

from serve.platform import Platform, serving
from tidemill.testing.misbehaviour import WORDS
from tidemill.testing.upstreams import ScriptedUpstream, scripted_upstream

SAID = "".join(WORDS)


def model(name: str, upstream: ScriptedUpstream | str, *, timeout: float = 5) -> str:
    """A model and its connection, as documents."""
    url = upstream if isinstance(upstream, str) else upstream.url
    return f"""
{{kind: connection, name: {name}, provider: openai, base_url: "{url}", allow_private: true, timeout: {timeout}}}
---
{{kind: model, name: {name}, provider: openai, model: {name}, connection: {name}}}
---
"""


@dataclass
class Reply:
    """What a client got: `text` so far, `error` of the body or of the stream's last event, `model` as the answer names it."""

    status: int
    text: str
    headers: dict[str, str]
    error: dict | None = None
    ended: bool = True
    model: str | None = None


async def ask(http: aiohttp.ClientSession, url: str, name: str, *, stream=False, key: str, **fields) -> Reply:
    headers = {"authorization": f"Bearer {key}", **fields.pop("headers", {})}
    body = {"model": name, "messages": [{"role": "user", "content": "when?"}], "stream": stream, **fields}
    async with http.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
        heads = {each.lower(): value for each, value in answer.headers.items()}
        if answer.status != 200 or not stream:
            found = orjson.loads(await answer.read())
            text = "" if "error" in found else found["choices"][0]["message"]["content"]
            return Reply(answer.status, text, heads, found.get("error"), model=found.get("model"))
        text, error, ended, named = "", None, False, None
        for line in (await answer.read()).split(b"\n"):
            if line == b"data: [DONE]":
                ended = True
            elif line.startswith(b"data: "):
                event = orjson.loads(line[6:])
                error, named = event.get("error", error), event.get("model", named)
                for choice in event.get("choices", ()):
                    text += choice["delta"].get("content") or ""
        return Reply(200, text, heads, error, ended, named)


@contextlib.asynccontextmanager
async def world(folder, *behaviours: str) -> AsyncIterator[tuple[Platform, dict[str, ScriptedUpstream], aiohttp.ClientSession]]:
    """A platform, an upstream for each behaviour (under its name with `-`), and a client without limits."""
    async with contextlib.AsyncExitStack() as stack:
        upstreams = {each.replace("_", "-"): await stack.enter_async_context(scripted_upstream(each)) for each in behaviours}
        platform = await stack.enter_async_context(serving(folder))
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        yield platform, upstreams, http
