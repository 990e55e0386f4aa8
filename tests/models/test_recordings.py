"""What real providers once answered, sent again by a real server, through the whole way of a call."""

from __future__ import annotations

import json
import re

import pytest
from aiohttp import web

from models.calls import ask, version
from models.recordings import recordings, stream_fixtures
from models.upstream import serve_upstream, writing
from tidemill.core.errors import Denied, Invalid, TidemillError

pytestmark = pytest.mark.anyio

DIALECT = (
    "openai",
    "openai-compatible",
    "azure",
    "cerebras",
    "groq",
    "huggingface",
    "mistral",
    "openrouter",
    "together",
    "zai",
)


@pytest.fixture
async def upstream(connections):
    async with serve_upstream() as server:
        for provider in ("openai", "anthropic"):
            connections[provider] = server.connection(provider)
        yield server


def replay(row):
    """The recorded answer; a stream in pieces of 37 bytes, which cut lines and characters."""
    if isinstance(row["response"], str):
        content = row["response"].encode()
        return writing(*(content[start : start + 37] for start in range(0, len(content), 37)))

    async def behave(request, body):
        return web.json_response(row["response"], status=row["status"])

    return behave


def events(text: str) -> list[dict]:
    lines = re.findall(r"^data: ?(.*?)\r?$", text, re.MULTILINE)
    return [json.loads(line) for line in lines if line.strip() not in {"", "[DONE]"}]


def openai_says(row) -> tuple[str, list[tuple[str, object]], int]:
    """The text, tool calls and prompt tokens of a recording, by the shortest way."""
    texts, calls, tokens = [], {}, 0
    for event in events(row["response"]) if isinstance(row["response"], str) else [row["response"]]:
        for choice in event.get("choices", [])[:1]:
            said = choice.get("delta") or choice.get("message") or {}
            content = said.get("content") or said.get("refusal") or ""
            texts.append(
                content
                if isinstance(content, str)
                else "".join(part.get("text", "") for part in content if part["type"] == "text")
            )
            for index, call in enumerate(said.get("tool_calls") or []):
                key = call.get("index") if isinstance(row["response"], str) else index
                name, arguments = calls.get(key, ("", ""))
                calls[key] = (
                    name + (call["function"].get("name") or ""),
                    arguments + (call["function"].get("arguments") or ""),
                )
        usage = event.get("usage") or (event.get("x_groq") or {}).get("usage") or {}
        tokens = usage.get("prompt_tokens") or tokens
    return "".join(texts), [calls[key] for key in sorted(calls, key=str)], tokens


async def test_every_recorded_answer_in_the_openai_dialect_is_understood(call, streamed, upstream):
    model = version(provider="openai", model="m")
    rows = [
        row for row in recordings(*DIALECT, path="/chat/completions") if row["status"] == 200 and "error" not in row["response"]
    ]
    assert len(rows) > 120
    for row in rows:
        if "Token limit reached" in row["response"]:
            continue
        upstream.behave = replay(row)
        result = (await streamed(model, ask("x")))[1] if isinstance(row["response"], str) else await call(model, ask("x"))
        message = result.response.message
        found = (message.text, [(each.name, each.arguments) for each in message.tool_calls], result.response.usage.input_tokens)
        assert found == openai_says(row), row["id"]
        assert (result.response.finish_reason == "tool_calls") == bool(message.tool_calls), row["id"]
        assert result.response.model


async def test_recorded_refusals_are_named(call, upstream):
    rows = [row for row in recordings(*DIALECT, "anthropic", path="/chat/completions") if row["status"] >= 400]
    assert rows
    for row in rows:
        upstream.behave = replay(row)
        with pytest.raises(TidemillError) as caught:
            await call(version(provider="openai", model="m"), ask("x"))
        assert type(caught.value) is (Denied if row["status"] == 401 else Invalid), row["id"]
        error = row["response"]["error"]
        assert " ".join(error["message"].split())[:100] in caught.value.message


async def test_an_error_in_a_recorded_stream_is_raised(streamed, upstream):
    rows = [row for row in recordings("openrouter", path="/chat/completions") if "Token limit reached" in str(row["response"])]
    for row in rows:
        upstream.behave = replay(row)
        with pytest.raises(Invalid, match="Token limit reached"):
            await streamed(version(provider="openai", model="m"), ask("x"))


def anthropic_says(row) -> tuple[str, list[tuple[str, object]], int]:
    """The text, tool calls (with parsed arguments) and output tokens of a recording, by the shortest way."""
    if not isinstance(row["response"], str):
        blocks, usage = row["response"]["content"], row["response"]["usage"]
        text = "".join(each["text"] for each in blocks if each["type"] == "text")
        return text, [(each["name"], each["input"]) for each in blocks if each["type"] == "tool_use"], usage["output_tokens"]
    text, calls, tokens = "", {}, 0
    for event in events(row["response"]):
        block, delta = event.get("content_block", {}), event.get("delta", {})
        if block.get("type") == "tool_use":
            calls[event["index"]] = [block["name"], ""]
        text += block.get("text", "") if block.get("type") == "text" else ""
        text += delta.get("text", "") if delta.get("type") == "text_delta" else ""
        if delta.get("type") == "input_json_delta" and event["index"] in calls:
            calls[event["index"]][1] += delta["partial_json"]
        if event["type"] == "message_delta":
            tokens = event["usage"]["output_tokens"]
    return text, [(name, json.loads(arguments or "{}")) for name, arguments in calls.values()], tokens


def check_anthropic(result, row) -> None:
    message = result.response.message
    calls = [(each.name, json.loads(each.arguments)) for each in message.tool_calls]
    assert (message.text, calls, result.response.usage.output_tokens) == anthropic_says(row), row["id"]
    assert result.response.model.startswith("claude"), row["id"]
    assert result.response.usage.input_tokens > 0, row["id"]


async def test_every_recorded_answer_of_anthropic_is_understood(call, streamed, upstream):
    model = version(provider="anthropic", model="m")
    rows = [row for row in recordings("anthropic", path="/v1/messages") if row["status"] == 200]
    assert len(rows) > 70
    for row in rows:
        upstream.behave = replay(row)
        result = (await streamed(model, ask("x")))[1] if isinstance(row["response"], str) else await call(model, ask("x"))
        check_anthropic(result, row)


def as_recording(row) -> dict:
    """A fixture's first answer; some hold the next one too."""
    lines = row["lines"]
    ends = [index for index, line in enumerate(lines) if '"message_stop"' in line]
    text = "".join(f"data: {line}\r\n\r\n" for line in lines[: ends[0] + 1 if ends else None])
    return {"id": row["id"], "response": text}


async def test_every_stream_fixture_of_anthropic_is_understood(streamed, upstream):
    for row in map(as_recording, stream_fixtures("anthropic")):
        upstream.behave = replay(row)
        check_anthropic((await streamed(version(provider="anthropic", model="m"), ask("x")))[1], row)


@pytest.mark.parametrize("provider", ["groq", "mistral", "moonshotai", "xai", "perplexity"])
async def test_every_stream_fixture_in_the_openai_dialect_is_understood(streamed, upstream, provider):
    for row in map(as_recording, stream_fixtures(provider)):
        upstream.behave = replay(row)
        _, result = await streamed(version(provider="openai", model="m"), ask("x"))
        assert result.response.message.text == openai_says(row)[0], row["id"]
