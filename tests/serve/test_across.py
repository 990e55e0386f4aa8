"""Clients of one dialect over providers of another, with what real providers once answered."""

import json
import re

import anthropic
import pytest

from models.recordings import recordings
from models.test_recordings import DIALECT, anthropic_says, openai_says, replay
from models.test_recordings import events as events_of
from models.upstream import serve_upstream
from serve.platform import serving

pytestmark = pytest.mark.anyio

APP = """
kind: connection
name: openai
provider: openai
base_url: {url}/v1
allow_private: true
---
kind: connection
name: anthropic
provider: anthropic
base_url: {url}/v1
allow_private: true
---
kind: model
name: gpt
provider: openai
model: m
---
kind: model
name: claude
provider: anthropic
model: m
"""
ASKED = [{"role": "user", "content": "x"}]


def openai_rows():
    rows = recordings(*DIALECT, path="/chat/completions")
    return [
        row
        for row in rows
        if row["status"] == 200 and "error" not in row["response"] and "Token limit reached" not in row["response"]
    ]


def anthropic_rows():
    return [row for row in recordings("anthropic", path="/v1/messages") if row["status"] == 200]


async def message_of(api, *, stream, **asked):
    """The message of the stock client, whole or as it accumulates a stream."""
    if not stream:
        return await api.messages.create(max_tokens=100, messages=ASKED, **asked)
    async with api.messages.stream(max_tokens=100, messages=ASKED, **asked) as events:
        return await events.get_final_message()


async def response_of(api, *, stream, **asked):
    """The response, whole or as the last event of a stream has it."""
    if not stream:
        return await api.responses.create(input="x", **asked)
    events = [each async for each in await api.responses.create(input="x", stream=True, **asked)]
    assert [each.sequence_number for each in events] == list(range(len(events)))
    said = "".join(each.delta for each in events if each.type == "response.output_text.delta")
    assert said == events[-1].response.output_text
    return events[-1].response


def plain(arguments):
    try:
        return json.loads(arguments or "{}")
    except json.JSONDecodeError:
        return {"invalid_json": arguments}


async def test_a_messages_client_over_the_openai_dialect_loses_nothing_of_what_was_said(tmp_path):
    async with serve_upstream() as upstream, serving(tmp_path, APP.format(url=upstream.url)) as platform:
        key = await platform.key()
        async with anthropic.AsyncAnthropic(api_key=key, base_url=platform.url, max_retries=0) as api:
            rows = openai_rows()
            assert len(rows) > 120
            for row in rows:
                upstream.behave = replay(row)
                message = await message_of(api, model="model/gpt", stream=isinstance(row["response"], str))
                text = "".join(each.text for each in message.content if each.type == "text")
                calls = [(each.name, each.input) for each in message.content if each.type == "tool_use"]
                wanted, wanted_calls, tokens = openai_says(row)
                assert (text, calls) == (wanted, [(name, plain(arguments)) for name, arguments in wanted_calls]), row["id"]
                usage = message.usage
                read = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens
                assert read == tokens, row["id"]
                assert (message.stop_reason == "tool_use") == bool(calls), row["id"]


def thought(row):
    """What the model thought before it answered, by the shortest way."""
    events = events_of(row["response"]) if isinstance(row["response"], str) else [row["response"]]
    said = [choice.get("delta") or choice.get("message") or {} for event in events for choice in event.get("choices", [])[:1]]
    return "".join(each.get("reasoning_content") or each.get("reasoning") or "" for each in said)


async def test_thoughts_cross_into_either_dialect(tmp_path):
    async with serve_upstream() as upstream, serving(tmp_path, APP.format(url=upstream.url)) as platform:
        key, openai_client = await platform.key(), await platform.client()
        async with anthropic.AsyncAnthropic(api_key=key, base_url=platform.url, max_retries=0) as api:
            rows = [row for row in openai_rows() if thought(row)]
            assert len(rows) > 10
            for row in rows:
                upstream.behave = replay(row)
                stream = isinstance(row["response"], str)
                message = await message_of(api, model="model/gpt", stream=stream)
                assert "".join(each.thinking for each in message.content if each.type == "thinking") == thought(row), row["id"]
                answer = await response_of(openai_client, model="model/gpt", stream=stream)
                summaries = [part.text for each in answer.output if each.type == "reasoning" for part in each.summary]
                assert "".join(summaries) == thought(row), row["id"]


async def test_a_responses_client_over_the_openai_dialect_loses_nothing_of_what_was_said(tmp_path):
    async with serve_upstream() as upstream, serving(tmp_path, APP.format(url=upstream.url)) as platform:
        api = await platform.client()
        for row in openai_rows():
            upstream.behave = replay(row)
            answer = await response_of(api, model="model/gpt", stream=isinstance(row["response"], str))
            calls = [(each.name, each.arguments) for each in answer.output if each.type == "function_call"]
            text = "".join(
                part.text if part.type == "output_text" else part.refusal
                for each in answer.output
                if each.type == "message"
                for part in each.content
            )
            assert (text, calls, answer.usage.input_tokens) == openai_says(row), row["id"]


async def test_a_responses_client_over_messages_loses_nothing_of_what_was_said(tmp_path):
    async with serve_upstream() as upstream, serving(tmp_path, APP.format(url=upstream.url)) as platform:
        api = await platform.client()
        rows = anthropic_rows()
        assert len(rows) > 70
        for row in rows:
            upstream.behave = replay(row)
            stream = isinstance(row["response"], str)
            answer = await response_of(api, model="model/claude", stream=stream)
            calls = [(each.name, json.loads(each.arguments)) for each in answer.output if each.type == "function_call"]
            assert (answer.output_text, calls, answer.usage.output_tokens) == anthropic_says(row), row["id"]


async def said_by_chat(api, *, stream, **asked):
    """Text, calls and output tokens of a completion, whole or put together from its chunks."""
    if not stream:
        answer = await api.chat.completions.create(messages=ASKED, **asked)
        message = answer.choices[0].message
        calls = [(each.function.name, json.loads(each.function.arguments)) for each in message.tool_calls or []]
        return message.content or "", calls, answer.usage.completion_tokens
    text, calls, tokens = "", {}, 0
    options = {"include_usage": True}
    async for chunk in await api.chat.completions.create(messages=ASKED, stream=True, stream_options=options, **asked):
        tokens = chunk.usage.completion_tokens if chunk.usage else tokens
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for call in choice.delta.tool_calls or []:
                name, arguments = calls.get(call.index, ("", ""))
                calls[call.index] = (name + (call.function.name or ""), arguments + (call.function.arguments or ""))
    return text, [(name, json.loads(arguments)) for name, arguments in calls.values()], tokens


async def test_a_chat_client_over_messages_loses_nothing_of_what_was_said(tmp_path):
    async with serve_upstream() as upstream, serving(tmp_path, APP.format(url=upstream.url)) as platform:
        api = await platform.client()
        for row in anthropic_rows():
            upstream.behave = replay(row)
            found = await said_by_chat(api, model="model/claude", stream=isinstance(row["response"], str))
            assert found == anthropic_says(row), row["id"]


def blocks_of(message):
    """The content of a message, with neighbouring text joined, which citations cut into pieces."""
    blocks = []
    for each in message.content:
        block = each.model_dump(exclude_none=True, exclude={"citations", "parsed_output", "caller"})
        if block["type"] == "mcp_tool_use":
            block.pop("input")  # which the client does not put together
        if block["type"] == "text" and blocks and blocks[-1]["type"] == "text":
            blocks[-1]["text"] += block["text"]
        elif block["type"] != "text" or block["text"]:
            blocks.append(block)
    return blocks


async def test_what_a_provider_of_the_same_dialect_said_is_said_anew_with_nothing_lost(tmp_path):
    """Thoughts with their seals, and what the provider's own tools did, whole and streamed."""
    async with serve_upstream() as upstream, serving(tmp_path, APP.format(url=upstream.url)) as platform:
        key = await platform.key()
        kinds = set()
        async with anthropic.AsyncAnthropic(api_key=key, base_url=platform.url, max_retries=0) as api:
            for row in anthropic_rows():
                upstream.behave = replay(row)
                stream = isinstance(row["response"], str)
                wanted = await message_of(api, model="model/claude", stream=stream)
                found = await message_of(api, model="model/claude", stream=stream, extra_headers={"x-tidemill-extended": "1"})
                assert stream or found.tidemill["trace"]
                assert blocks_of(found) == blocks_of(wanted), row["id"]
                assert (found.stop_reason, found.stop_sequence) == (wanted.stop_reason, wanted.stop_sequence), row["id"]
                assert (found.usage.input_tokens, found.usage.output_tokens) == (
                    wanted.usage.input_tokens, wanted.usage.output_tokens,
                ), row["id"]  # fmt: skip
                kinds |= {each.type for each in found.content}
        assert kinds >= {"text", "thinking", "tool_use", "server_tool_use"}


def asked_of(body):
    """What a recorded request says: all that is the system's, wherever it stands, and the blocks of the turns."""
    system, said = body.get("system") or [], []
    told = [system] if isinstance(system, str) else [each["text"] for each in system]
    for message in body["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if message["role"] == "system":
            told += [each["text"] for each in blocks]
        else:
            said += [(message["role"], each["type"], each.get("text"), each.get("name"), each.get("input")) for each in blocks]
    return "\n\n".join(told), said


@pytest.mark.parametrize("headers", [{}, {"x-tidemill-extended": "1"}], ids=["passed-on", "said-anew"])
async def test_recorded_requests_reach_a_provider_of_the_same_dialect_with_all_they_said(tmp_path, headers):
    async with serve_upstream() as upstream, serving(tmp_path, APP.format(url=upstream.url)) as platform:
        http = await platform.http()
        for row in anthropic_rows():
            upstream.behave = replay(row)
            answer = await http.post("/v1/messages", json={**row["request"], "model": "model/claude"}, headers=headers)
            assert answer.status_code == 200, (row["id"], answer.text)
            sent, wanted = upstream.bodies[-1], row["request"]
            assert asked_of(sent) == asked_of(wanted), row["id"]
            for name in ("max_tokens", "temperature", "top_p", "stop_sequences", "thinking", "tool_choice"):
                assert sent.get(name) == wanted.get(name), (row["id"], name)
            tools = [{name: value for name, value in each.items() if value} for each in wanted.get("tools", [])]
            assert [{name: value for name, value in each.items() if value} for each in sent.get("tools", [])] == tools, row[
                "id"
            ]


def test_there_are_streams_among_them():
    rows = [*openai_rows(), *anthropic_rows()]
    assert sum(isinstance(row["response"], str) for row in rows) > 40
    assert re.search("thinking", str(rows))
