"""Stock clients over providers of other dialects, with what real ones once answered: whole, streamed, in lines, in frames."""

from __future__ import annotations

import json

import anthropic
import pytest
from aiohttp import web

from models.replay.cases import cases
from models.replay.rows import FOLDER
from models.replay.run import KEY, is_refusal
from models.upstream import serve_upstream, writing
from serve.platform import serving
from tidemill.testing.replay import cut

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recordings at {FOLDER}; set TIDEMILL_SHARED_DATA to their folder"),
]

APP = """
kind: connection
name: it
provider: {provider}
base_url: {url}
api_key: env:{key}
allow_private: true
options: {options}
---
kind: model
name: it
provider: {provider}
model: m
connection: it
"""
PROVIDERS = ("bedrock", "cohere", "gemini", "ollama", "vertex")
ASKED = [{"role": "user", "content": "x"}]


def answered(provider):
    """Recordings of answers that are no refusals; those that were invoked are another connection's."""
    return [
        case for case in cases(provider)[0]
        if case.kind == "chat" and case.recorded.status == 200 and not is_refusal(case) and "api" not in case.options
    ]  # fmt: skip


def behave(case):
    if case.recorded.is_stream:
        return writing(*cut(case.recorded.content, 37))

    async def whole(request, body):
        return web.Response(body=case.recorded.content, content_type="application/json")

    return whole


def app(provider, url):
    options = "{project: p}" if provider == "vertex" else "{}"
    return APP.format(provider=provider, url=url, key=KEY, options=options)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_client_of_chat_completions(tmp_path, provider):
    async with serve_upstream() as upstream, serving(tmp_path, app(provider, upstream.url)) as platform:
        api = await platform.client()
        for case in answered(provider):
            upstream.behave = behave(case)
            wanted = case.says(case.row)
            if case.recorded.is_stream:
                found = await streamed(api)
            else:
                answer = await api.chat.completions.create(model="model/it", messages=ASKED)
                choice = answer.choices[0]
                calls = [(each.function.name, json.loads(each.function.arguments)) for each in choice.message.tool_calls or ()]
                found = choice.message.content or "", calls, choice.finish_reason, answer.usage
            text, calls, finish, usage = found
            assert (text, calls, finish) == (wanted.text, wanted.calls, wanted.finish), case.row["id"]
            assert (usage.prompt_tokens, usage.completion_tokens) == (wanted.input, wanted.output), case.row["id"]


async def streamed(api):
    text, calls, finish, usage = "", {}, None, None
    options = {"include_usage": True}
    async for chunk in await api.chat.completions.create(model="model/it", messages=ASKED, stream=True, stream_options=options):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            text += choice.delta.content or ""
            for call in choice.delta.tool_calls or ():
                made = calls.setdefault(call.index, ["", ""])
                made[0] += call.function.name or ""
                made[1] += call.function.arguments or ""
    return text, [(name, json.loads(arguments)) for name, arguments in calls.values()], finish, usage


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_client_of_messages(tmp_path, provider):
    async with serve_upstream() as upstream, serving(tmp_path, app(provider, upstream.url)) as platform:
        key = await platform.key()
        async with anthropic.AsyncAnthropic(api_key=key, base_url=platform.url, max_retries=0) as api:
            for case in answered(provider):
                upstream.behave = behave(case)
                asked = {"model": "model/it", "max_tokens": 100, "messages": ASKED}
                if case.recorded.is_stream:
                    async with api.messages.stream(**asked) as events:
                        message = await events.get_final_message()
                else:
                    message = await api.messages.create(**asked)
                wanted = case.says(case.row)
                text = "".join(each.text for each in message.content if each.type == "text")
                thoughts = "".join(each.thinking for each in message.content if each.type == "thinking")
                calls = [(each.name, each.input) for each in message.content if each.type == "tool_use"]
                assert (text, calls) == (wanted.text, wanted.calls), case.row["id"]
                assert thoughts == wanted.reasoning, case.row["id"]
                assert message.usage.output_tokens == wanted.output, case.row["id"]
