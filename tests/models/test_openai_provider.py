from __future__ import annotations

import asyncio
import base64
import socket
import struct

import anyio
import pytest

from models.calls import ask, version
from models.upstream import DONE, USAGE, answering, chunk, completion, serve_upstream, writing
from tidemill.core.chat import ChatRequest, Connection, Secret, ToolDefinition
from tidemill.core.errors import Denied, Invalid, RateLimited, Unavailable
from tidemill.core.parts import File, Image, Message, Text, ToolCall, ToolResult
from tidemill.models.caller import Caller

pytestmark = pytest.mark.anyio

MODEL = version(provider="openai", model="gpt-test")
OK = (200, completion(), {})


@pytest.fixture
async def upstream(connections):
    async with serve_upstream() as server:
        connections["openai"] = server.connection()
        server.behave = answering(OK)
        yield server


async def test_a_whole_answer(call, upstream, traced):
    result = await call(MODEL, ask("hi", params={"temperature": 0, "max_tokens": 5, "seed": 3}))
    response = result.response
    assert (response.message.text, response.finish_reason, response.model, response.fingerprint) == (
        "hello",
        "stop",
        "gpt-test-1",
        "fp_1",
    )
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.cached_tokens) == (7, 2, 3)
    assert upstream.bodies == [
        {"model": "gpt-test", "messages": [{"role": "user", "content": "hi"}], "temperature": 0, "max_tokens": 5, "seed": 3}
    ]
    assert upstream.paths == ["/v1/chat/completions"]
    assert "authorization" not in upstream.headers[0]
    attributes = traced.records[0].attributes
    assert attributes["gen_ai.request.temperature"] == 0
    assert attributes["tidemill.fingerprint"] == "fp_1"
    assert attributes["gen_ai.response.model"] == "gpt-test-1"


async def test_a_price_is_known_for_the_model_that_answered(call, upstream):
    upstream.behave = answering((200, completion(model="gpt-4o-mini-2024-07-18"), {}))
    assert (await call(MODEL, ask("hi"))).cost > 0
    upstream.behave = answering(OK)
    assert (await call(MODEL, ask("hi"))).cost is None


async def test_every_part_of_a_conversation_is_written(call, upstream):
    messages = (
        Message.of("system", "be brief"),
        Message(
            role="user",
            parts=(
                Text(text="look"),
                Image(media_type="image/png", data="AAAA"),
                File(media_type="application/pdf", url="https://x/y.pdf"),
            ),
        ),
        Message(role="assistant", parts=(ToolCall(id="c1", name="f", arguments='{"a":1}'),)),
        Message(role="tool", parts=(ToolResult(id="c1", content="one"), ToolResult(id="c2", content="two"))),
    )
    tool = ToolDefinition(
        name="f", description="does f", parameters={"type": "object", "properties": {"a": {"type": "integer"}}}
    )
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
    await call(MODEL, ChatRequest(model="", messages=messages, tools=(tool,), tool_choice="f", output_schema=schema))
    body = upstream.bodies[0]
    assert body["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "file", "file": {"file_data": "https://x/y.pdf", "filename": "file"}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
    ]  # fmt: skip
    assert body["tools"][0]["function"]["name"] == "f"
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body["response_format"]["json_schema"] == {"name": "output", "schema": schema, "strict": True}


async def test_a_stream_with_tool_calls_in_pieces(streamed, upstream):
    def piece(**call):
        return chunk(choices=[{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}])

    upstream.behave = writing(
        piece(index=0, id="a", type="function", function={"name": "f", "arguments": ""}),
        piece(index=0, function={"arguments": '{"x"'}),
        piece(index=0, function={"arguments": ":1}"}),
        piece(index=1, id="b", type="function", function={"name": "g", "arguments": "{}"}),
        chunk(finish="tool_calls"), USAGE, DONE,
    )  # fmt: skip
    deltas, result = await streamed(MODEL, ask("go"))
    assert result.response.message.parts == (
        ToolCall(id="a", name="f", arguments='{"x":1}'),
        ToolCall(id="b", name="g", arguments="{}"),
    )
    assert (deltas[-1].finish_reason, deltas[-1].usage.input_tokens) == ("tool_calls", 7)
    assert upstream.bodies[0]["stream_options"] == {"include_usage": True}


async def test_a_stream_cut_anywhere_reads_the_same(streamed, upstream):
    whole = (
        b"\xef\xbb\xbf: a comment\r\n\r\n" + chunk("na\u00efve \U0001f30a ").replace(b"\n", b"\r\n")
        + b"event: message\r\nid: 1\r\nretry: 5\r\n"
        + chunk("line\u2028two").replace(b"\n", b"\r\n") + chunk(finish="stop").replace(b"\n", b"\r") + USAGE + DONE
    )  # fmt: skip
    for size in (1, 2, 3, 7, len(whole)):
        upstream.behave = writing(*(whole[start : start + size] for start in range(0, len(whole), size)))
        _, result = await streamed(MODEL, ask("go"))
        assert result.response.message.text == "na\u00efve \U0001f30a line\u2028two"
        assert result.response.usage.output_tokens == 2


async def test_a_stream_may_end_without_done_and_without_a_last_line_end(streamed, upstream):
    upstream.behave = writing(chunk("a"), chunk("b", finish="length").rstrip())
    _, result = await streamed(MODEL, ask("go"))
    assert (result.response.message.text, result.response.finish_reason) == ("ab", "length")


@pytest.mark.parametrize("abort", [False, True])
@pytest.mark.parametrize("last", [chunk("b"), chunk("b")[:20]])
async def test_half_a_stream_is_an_error_after_what_came(models, traced, upstream, abort, last):
    upstream.behave = writing(chunk("a"), last, abort=abort)
    stream = models.stream(MODEL, ask("go"), caller=Caller.internal("p", "local"), span=traced.span())
    assert (await anext(stream)).text == "a"
    with pytest.raises(Unavailable, match=r"ended early|broke the connection off"):
        [each async for each in stream]
    assert upstream.calls == 1


async def test_a_stream_that_breaks_before_its_first_piece_is_tried_again(streamed, upstream):
    broken, whole = writing(b": wait\n\n", abort=True), writing(chunk("fine", finish="stop"), DONE)

    async def behave(request, body):
        return await (broken if upstream.calls < 3 else whole)(request, body)

    upstream.behave = behave
    _, result = await streamed(MODEL, ask("go"))
    assert (result.response.message.text, result.attempts, upstream.calls) == ("fine", 3, 3)


async def test_an_error_inside_a_stream(models, traced, upstream):
    upstream.behave = writing(chunk("a"), b'data: {"error":{"message":"the engine overheated","code":503}}\n\n')
    stream = models.stream(MODEL, ask("go"), caller=Caller.internal("p", "local"), span=traced.span())
    await anext(stream)
    with pytest.raises(Unavailable, match="the engine overheated"):
        await anext(stream)


@pytest.mark.parametrize(
    ("reply", "kind", "words", "attempts"),
    [
        ((500, {"error": {"message": "boom"}}, {}), Unavailable, "openai answered 500: boom", 3),
        ((503, "<!DOCTYPE html><title>Bad gateway</title>", {}), Unavailable, "a web page titled 'Bad gateway'", 3),
        ((200, "<html><head><title>Welcome</title></head></html>", {}), Unavailable, "web page titled 'Welcome'", 3),
        ((200, "ok", {"content-type": "text/plain"}), Unavailable, "with ok where JSON was expected", 3),
        ((200, [], {}), Unavailable, "not an object", 3),
        ((200, {"choices": []}, {}), Unavailable, "without any choice", 3),
        ((200, {"error": {"message": "odd", "code": 429}}, {}), RateLimited, "odd", 3),
        ((302, {}, {"location": "http://127.0.0.1:1/"}), Unavailable, "302", 3),
        ((401, {"error": {"message": "Incorrect API key provided"}}, {}), Denied, "401: Incorrect API key", 1),
        ((403, {}, {}), Denied, "403", 1),
        ((404, {"error": {"message": "The model `x` does not exist"}}, {}), Invalid, "does not exist", 1),
        ((400, {"error": {"message": "This model's maximum context length is 8192."}}, {}), Invalid, "the model's context", 1),
        ((400, {"error": "temperature?"}, {}), Invalid, "400: temperature?", 1),
        ((429, {"error": {"message": "slow down"}}, {}), RateLimited, "slow down", 3),
    ],
)  # fmt: skip
async def test_what_an_answer_that_is_none_means(call, upstream, traced, reply, kind, words, attempts):
    upstream.behave = answering(reply)
    with pytest.raises(kind) as caught:
        await call(MODEL, ask("hi"))
    assert type(caught.value) is kind
    assert words in caught.value.message
    assert upstream.calls == attempts
    assert caught.value.where == "connection/openai"
    assert traced.records[0].status == "error"


async def test_a_stream_that_is_a_web_page_or_plain_json(models, traced, upstream):
    for reply, words in (((200, "<html><title>Login</title>", {}), "Login"), ((200, completion(), {}), "JSON was expected")):
        upstream.behave = answering(reply)
        with pytest.raises(Unavailable, match=words):
            await anext(models.stream(MODEL, ask("go"), caller=Caller.internal("p", "local"), span=traced.span()))


async def test_a_passing_failure_is_tried_again(call, upstream):
    upstream.behave = answering((500, {}, {}), (503, "<html>", {}), OK)
    result = await call(MODEL, ask("hi"))
    assert (result.response.message.text, result.attempts) == ("hello", 3)


@pytest.mark.parametrize("header", [{"retry-after": "0.2"}, {"retry-after-ms": "200"}])
async def test_retry_after_is_waited_for(call, upstream, header):
    upstream.behave = answering((429, {}, header), OK)
    result = await call(MODEL, ask("hi"))
    assert result.attempts == 2
    assert result.latency_ms >= 200


async def test_a_retry_after_that_is_too_long_is_handed_on(call, upstream):
    for header, seconds in (
        ({"retry-after": "3600"}, 3600),
        ({"retry-after": "Fri, 21 Nov 2025 10:01:00 GMT", "date": "Fri, 21 Nov 2025 10:00:00 GMT"}, 60),
    ):
        upstream.bodies.clear()
        upstream.behave = answering((429, {}, header))
        with pytest.raises(RateLimited) as caught:
            await call(MODEL, ask("hi"))
        assert (caught.value.retry_after, upstream.calls) == (seconds, 1)


async def test_the_retry_budget_ends_a_storm(call, upstream):
    upstream.behave = answering((500, {}, {}))
    for _ in range(60):
        with pytest.raises(Unavailable):
            await call(MODEL, ask("hi"))
    assert upstream.calls == 60 + 100


async def test_a_refused_connection_names_the_address(call, connections):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    connections["openai"] = Connection(
        name="openai", provider="openai", base_url=f"http://127.0.0.1:{port}", allow_private=True
    )
    with pytest.raises(Unavailable, match=f"cannot be reached.*{port}"):
        await call(MODEL, ask("hi"))


async def test_a_stall_ends_at_the_timeout(call, models, traced, connections, upstream):
    connections["openai"] = upstream.connection(timeout=0.05)
    upstream.behave = writing(then=asyncio.Event().wait)
    with pytest.raises(Unavailable, match=r"silent for 0\.05 s"):
        await call(MODEL, ask("hi"))
    upstream.behave = writing(chunk("a"), then=asyncio.Event().wait)
    stream = models.stream(MODEL, ask("hi"), caller=Caller.internal("p", "local"), span=traced.span())
    assert (await anext(stream)).text == "a"
    with pytest.raises(Unavailable, match="silent"):
        await anext(stream)


async def test_a_cancelled_call_reaches_the_provider(models, traced, upstream):
    async def behave(request, body):
        await asyncio.Event().wait()

    upstream.behave = behave
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: models.chat(MODEL, ask("hi"), caller=Caller.internal("p", "local"), span=traced.span()))
        await upstream.arrived.wait()
        tasks.cancel_scope.cancel()
    with anyio.fail_after(5):
        await upstream.left.wait()


async def test_a_stream_that_is_left_reaches_the_provider(models, traced, upstream):
    upstream.behave = writing(chunk("a"), then=asyncio.Event().wait)
    async with models.stream(MODEL, ask("hi"), caller=Caller.internal("p", "local"), span=traced.span()) as stream:
        assert (await anext(stream)).text == "a"
    with anyio.fail_after(5):
        await upstream.left.wait()


async def test_the_key_is_read_by_reference_sent_and_never_shown(call, connections, upstream, monkeypatch, tmp_path):
    secret = "sk-very-secret-value"
    monkeypatch.setenv("SOME_KEY", secret)
    connections["openai"] = upstream.connection(
        api_key=Secret(reference="env:SOME_KEY"), headers={"x-org": "o", "api-key": "env:SOME_KEY"}
    )
    upstream.behave = answering((401, {"error": {"message": f"Incorrect API key provided: {secret}."}}, {}))
    with pytest.raises(Denied) as caught:
        await call(MODEL, ask("hi"))
    assert upstream.headers[0]["authorization"] == f"Bearer {secret}"
    assert (upstream.headers[0]["x-org"], upstream.headers[0]["api-key"]) == ("o", secret)
    assert secret not in f"{caught.value} {caught.value.hint}"
    (tmp_path / "key").write_text("from-file\n")
    connections["openai"] = upstream.connection(api_key=Secret(reference=f"file:{tmp_path}/key"))
    upstream.behave = answering(OK)
    await call(MODEL, ask("hi"))
    assert upstream.headers[-1]["authorization"] == "Bearer from-file"


async def test_a_missing_key_is_said_before_anything_is_sent(call, connections, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(Denied, match="OPENAI_API_KEY") as caught:
        await call(MODEL, ask("hi"))
    assert caught.value.hint == "Set OPENAI_API_KEY."


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "10.0.0.8", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1"]
)
async def test_private_networks_need_leave(call, connections, host):
    connections["openai"] = Connection(name="openai", provider="openai", base_url=f"http://{host}:9/v1")
    with pytest.raises(Denied, match="private network") as caught:
        await call(MODEL, ask("hi"))
    assert "allow_private" in caught.value.hint


async def test_a_connection_of_another_provider_is_refused(call, connections, upstream):
    connections["openai"] = upstream.connection("anthropic")
    with pytest.raises(Invalid, match="is for anthropic"):
        await call(MODEL, ask("hi"))


async def test_embeddings_in_order_and_in_batches(models, traced, upstream):
    async def behave(request, body):
        from aiohttp import web

        rows = [{"index": index, "embedding": [float(text.removeprefix("t")), 1.0]} for index, text in enumerate(body["input"])]
        return web.json_response({"data": rows[::-1], "model": "e", "usage": {"prompt_tokens": len(rows)}})

    upstream.behave = behave
    embedder = version("embedder", provider="openai", model="e", dimensions=2)
    with traced.span("embedding") as span:
        answer = await models.embed(
            embedder, [f"t{index}" for index in range(600)], caller=Caller.internal("p", "local"), span=span
        )
    assert [struct.unpack("<2f", answer.vectors.row(index))[0] for index in range(600)] == [
        float(index) for index in range(600)
    ]
    assert (answer.usage.input_tokens, upstream.calls, upstream.bodies[0]["dimensions"]) == (600, 3, 2)
    assert traced.records[0].attributes["gen_ai.embeddings.dimension.count"] == 2


@pytest.mark.parametrize(
    "data",
    [[], [{"index": 0, "embedding": [1.0]}], [{"embedding": None}] * 2, [{"embedding": [1.0]}, {"embedding": [1.0, 2.0]}]],
)
async def test_embeddings_that_are_none(models, upstream, data):
    upstream.behave = answering((200, {"data": data}, {}))
    with pytest.raises(Unavailable):
        await models.embed(version("embedder", provider="openai", model="e"), ["a", "b"], caller=Caller.internal("p", "local"))


async def test_embeddings_in_base64(models, upstream):
    packed = base64.b64encode(struct.pack("<2f", 0.5, 2)).decode()
    upstream.behave = answering((200, {"data": [{"index": 0, "embedding": packed}]}, {}))
    embedder = version("embedder", provider="openai", model="e", params={"encoding_format": "base64"})
    answer = await models.embed(embedder, ["a"], caller=Caller.internal("p", "local"))
    assert struct.unpack("<2f", answer.vectors.row(0)) == (0.5, 2.0)
