from __future__ import annotations

import asyncio

import anyio
import orjson
import pytest

from models.calls import ask, version
from models.upstream import answering, serve_upstream, writing
from tidemill.core.chat import ChatRequest, Secret, ToolDefinition
from tidemill.core.errors import Denied, Invalid, RateLimited, Unavailable
from tidemill.core.parts import File, Image, Message, Other, Reasoning, Text, ToolCall, ToolResult
from tidemill.models.caller import Caller

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


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
START = event(type="message_start", message={"model": "claude-test-1", "usage": {"input_tokens": 3, "output_tokens": 1}})


def said(text: str) -> bytes:
    return event(type="content_block_delta", index=0, delta={"type": "text_delta", "text": text})


async def test_a_whole_answer_with_a_tool_call(call, upstream):
    response = (await call(MODEL, ask("hi"))).response
    assert response.message.parts == (
        Reasoning(text="hm"), Text(text="Let me look."), ToolCall(id="t1", name="f", arguments='{"a":1}'),
    )  # fmt: skip
    assert response.usage.cache_write_tokens == 2
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
        ChatRequest(model="", messages=messages, tools=(tool,), tool_choice="required", output_schema=SCHEMA, params=params),
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
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object"}}]
    assert body["tool_choice"] == {"type": "any"}
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": {**SCHEMA, "additionalProperties": False}}}
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


async def to_the_end(stream, texts: list[str]) -> None:
    async for delta in stream:
        texts.append(delta.text)  # noqa: PERF401  (what came before it broke off is kept)


async def test_half_a_stream_is_an_error(models, traced, upstream):
    upstream.behave = writing(START, said("a"), event(type="message_delta", delta={"stop_reason": "end_turn"}, usage={}))
    stream = models.stream(MODEL, ask("x"), caller=Caller.internal("p", "local"), span=traced.span())
    with pytest.raises(Unavailable, match="ended early"):
        await to_the_end(stream, texts := [])
    assert "".join(texts) == "a"


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
    stream = models.stream(MODEL, ask("x"), caller=Caller.internal("p", "local"), span=traced.span())
    with pytest.raises(Unavailable, match="529: Overloaded"):
        await to_the_end(stream, texts := [])
    assert "".join(texts) == "a"


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
    with pytest.raises(Invalid, match="anthropic has no logprobs"):
        await call(MODEL, ask("x", params={"logprobs": True}))
    assert upstream.calls == 0


async def test_a_stream_that_is_left_reaches_the_provider(models, traced, upstream):
    upstream.behave = writing(START, said("a"), then=asyncio.Event().wait)
    async with models.stream(MODEL, ask("x"), caller=Caller.internal("p", "local"), span=traced.span()) as stream:
        await anext(stream)
    with anyio.fail_after(5):
        await upstream.left.wait()


async def test_what_only_the_dialect_has_goes_out_again(call, upstream):
    own = "anthropic.messages"
    kept = {own: {"cache_control": {"type": "ephemeral"}}}
    messages = (
        Message(role="system", parts=(Text(text="be brief", extra=kept),)),
        Message(role="user", parts=(File(media_type="text/plain", data="aGk=", name="note", extra=kept), Text(text="look"))),
        Message(role="assistant", parts=(
            Reasoning(text="hm", signature="sig"), Reasoning(data="sealed"), Reasoning(text="other", signature="gemini:x"),
            Other(dialect=own, value={"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
            ToolCall(id="t1", name="f", arguments="broken"),
        )),
        Message(role="tool", parts=(ToolResult(id="t1", content="", parts=(Image(media_type="image/png", data="AA"),)),)),
    )  # fmt: skip
    extra = {own: {"tools": [{"type": "web_search_20250305", "name": "web_search"}], "container": "c", "betas": ["one", "two"]}}
    await call(MODEL, ChatRequest(model="", messages=messages, extra=extra, params={"parallel_tool_calls": False, "user": "u"}))
    body = upstream.bodies[0]
    assert body["system"] == [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}]
    assert body["messages"][0]["content"][0] == {
        "type": "document", "title": "note", "cache_control": {"type": "ephemeral"},
        "source": {"type": "text", "media_type": "text/plain", "data": "hi"},
    }  # fmt: skip
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"}, {"type": "redacted_thinking", "data": "sealed"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"invalid_json": "broken"}},
    ]  # fmt: skip
    assert body["messages"][2]["content"][0]["content"][0]["type"] == "image"
    assert body["tools"] == [{"type": "web_search_20250305", "name": "web_search"}]
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert (body["container"], body["metadata"]) == ("c", {"user_id": "u"})
    assert upstream.headers[0]["anthropic-beta"] == "one,two"


@pytest.mark.parametrize(
    ("model", "params", "thinking", "effort"),
    [
        ("claude-opus-4-6", {}, {"type": "adaptive"}, "high"),
        ("claude-sonnet-4-5-20250929", {"max_tokens": 20000}, {"type": "enabled", "budget_tokens": 16384}, None),
        ("claude-3-7-sonnet-20250219", {"max_tokens": 1000}, None, None),
        ("claude-3-5-haiku-latest", {"max_tokens": 9000}, None, None),
        ("claude-sonnet-4-5", {"max_tokens": 9000, "temperature": 0.2}, None, None),
    ],
)
async def test_an_effort_is_said_as_each_model_understands_it(call, upstream, model, params, thinking, effort):
    await call(version(provider="anthropic", model=model), ask("x", params={"reasoning_effort": "high", **params}))
    assert upstream.bodies[0].get("thinking") == thinking
    assert upstream.bodies[0].get("output_config", {}).get("effort") == effort


async def test_json_without_a_schema_is_refused(call, upstream):
    with pytest.raises(Invalid, match="no JSON mode without a schema"):
        await call(MODEL, ask("x", output_schema={"type": "object"}))
    assert upstream.calls == 0
