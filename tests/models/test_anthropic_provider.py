from __future__ import annotations

import asyncio

import anyio
import orjson
import pytest

from models.calls import ask, version
from models.upstream import answering, serve_upstream, writing
from tidemill.core.chat import ChatRequest, Secret, ToolDefinition
from tidemill.core.errors import Denied, Invalid, RateLimited, Unavailable
from tidemill.core.parts import Image, Message, Text, ToolCall, ToolResult

pytestmark = pytest.mark.anyio

MODEL = version(provider="anthropic", model="claude-test")
ANSWER = {
    "type": "message", "role": "assistant", "model": "claude-test-1", "stop_reason": "tool_use",
    "content": [
        {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
    ],
    "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2, "output_tokens": 4},
}  # fmt: skip


@pytest.fixture
async def upstream(connections, monkeypatch):
    monkeypatch.setenv("A_KEY", "sk-ant-some-key")
    async with serve_upstream() as server:
        connections["anthropic"] = server.connection("anthropic", api_key=Secret(reference="env:A_KEY"))
        server.behave = answering((200, ANSWER, {}))
        yield server


def event(**fields) -> bytes:
    return b"event: " + fields["type"].encode() + b"\ndata: " + orjson.dumps(fields) + b"\n\n"


START = event(type="message_start", message={"model": "claude-test-1", "usage": {"input_tokens": 3, "output_tokens": 1}})


def said(text: str) -> bytes:
    return event(type="content_block_delta", index=0, delta={"type": "text_delta", "text": text})


async def test_a_whole_answer_with_a_tool_call(call, upstream):
    response = (await call(MODEL, ask("hi"))).response
    assert response.message.parts == (Text(text="Let me look."), ToolCall(id="t1", name="f", arguments='{"a":1}'))
    assert (response.finish_reason, response.model) == ("tool_calls", "claude-test-1")
    assert (response.usage.input_tokens, response.usage.cached_tokens, response.usage.output_tokens) == (17, 5, 4)
    assert upstream.paths == ["/v1/messages"]
    assert upstream.headers[0]["x-api-key"] == "sk-ant-some-key"
    assert upstream.headers[0]["anthropic-version"] == "2023-06-01"
    assert upstream.bodies[0] == {
        "model": "claude-test",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    }


async def test_every_part_of_a_conversation_is_written(call, upstream):
    messages = (
        Message.of("system", "be brief"),
        Message(role="user", parts=(Text(text="look"), Image(media_type="image/png", data="AAAA"))),
        Message(role="assistant", parts=(Text(text=""), ToolCall(id="t1", name="f", arguments='{"a":1}'))),
        Message(role="tool", parts=(ToolResult(id="t1", content="no", is_error=True),)),
        Message.of("user", "and now?"),
    )
    tool = ToolDefinition(name="f", parameters={"type": "object"})
    params = {"temperature": 0.5, "max_tokens": 9, "stop": "END", "seed": 4}
    await call(
        MODEL,
        ChatRequest(
            model="", messages=messages, tools=(tool,), tool_choice="required", output_schema={"type": "object"}, params=params
        ),
    )
    body = upstream.bodies[0]
    assert body["messages"] == [
        {"role": "user", "content": [
            {"type": "text", "text": "look"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        ]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": True},
            {"type": "text", "text": "and now?"},
        ]},
    ]  # fmt: skip
    assert (body["system"], body["stop_sequences"], body["max_tokens"], body["temperature"]) == ("be brief", ["END"], 9, 0.5)
    assert body["tools"] == [{"name": "f", "description": "", "input_schema": {"type": "object"}}]
    assert body["tool_choice"] == {"type": "any"}
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert not {"seed", "stop"} & set(body)


async def test_a_stream_with_a_call_without_arguments(streamed, upstream):
    upstream.behave = writing(
        START, event(type="ping"), event(type="content_block_start", index=0, content_block={"type": "text", "text": ""}),
        said("Sure."), event(type="content_block_stop", index=0),
        event(type="content_block_start", index=1, content_block={"type": "tool_use", "id": "t", "name": "now", "input": {}}),
        event(type="content_block_stop", index=1),
        event(type="message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 8}), event(type="message_stop"),
    )  # fmt: skip
    deltas, result = await streamed(MODEL, ask("x"))
    assert result.response.message.parts == (Text(text="Sure."), ToolCall(id="t", name="now", arguments="{}"))
    assert (result.response.usage.input_tokens, result.response.usage.output_tokens) == (3, 8)
    assert deltas[-1].finish_reason == "tool_calls"


async def test_half_a_stream_is_an_error(models, traced, upstream):
    upstream.behave = writing(START, said("a"), event(type="message_delta", delta={"stop_reason": "end_turn"}, usage={}))
    stream = models.stream(MODEL, ask("x"), project="p", environment="local", span=traced.span())
    assert (await anext(stream)).text == "a"
    with pytest.raises(Unavailable, match="ended early"):
        await anext(stream)


async def test_an_overload_in_a_stream_is_tried_again_only_before_the_first_piece(streamed, models, traced, upstream):
    overloaded = event(type="error", error={"type": "overloaded_error", "message": "Overloaded"})
    whole = writing(
        START,
        said("fine"),
        event(type="message_delta", delta={"stop_reason": "max_tokens"}, usage={}),
        event(type="message_stop"),
    )

    async def behave(request, body):
        return await (writing(START, overloaded) if upstream.calls == 1 else whole)(request, body)

    upstream.behave = behave
    _, result = await streamed(MODEL, ask("x"))
    assert (result.response.message.text, result.attempts, result.response.finish_reason) == ("fine", 2, "length")
    upstream.behave = writing(START, said("a"), overloaded)
    stream = models.stream(MODEL, ask("x"), project="p", environment="local", span=traced.span())
    await anext(stream)
    with pytest.raises(Unavailable, match="529: Overloaded"):
        await anext(stream)


@pytest.mark.parametrize(
    ("status", "error", "kind", "words"),
    [
        (401, {"type": "authentication_error", "message": "invalid x-api-key"}, Denied, "invalid x-api-key"),
        (400, {"type": "invalid_request_error", "message": "prompt is too long: 210000"}, Invalid, "the model's context"),
        (413, {"type": "request_too_large", "message": "Request exceeds the maximum size"}, Invalid, "the model's context"),
        (429, {"type": "rate_limit_error", "message": "slow down"}, RateLimited, "slow down"),
        (529, {"type": "overloaded_error", "message": "Overloaded"}, Unavailable, "529: Overloaded"),
        (200, {"type": "api_error", "message": "odd"}, Unavailable, "odd"),
    ],
)  # fmt: skip
async def test_refusals(call, upstream, status, error, kind, words):
    upstream.behave = answering((status, {"type": "error", "error": error}, {}))
    with pytest.raises(kind) as caught:
        await call(MODEL, ask("x"))
    assert type(caught.value) is kind
    assert words in caught.value.message


async def test_what_it_cannot_do_is_said_before_sending(call, upstream):
    with pytest.raises(Invalid, match="log probabilities"):
        await call(MODEL, ask("x", params={"logprobs": True}))
    assert upstream.calls == 0


async def test_a_stream_that_is_left_reaches_the_provider(models, traced, upstream):
    upstream.behave = writing(START, said("a"), then=asyncio.Event().wait)
    async with models.stream(MODEL, ask("x"), project="p", environment="local", span=traced.span()) as stream:
        await anext(stream)
    with anyio.fail_after(5):
        await upstream.left.wait()
