from __future__ import annotations

import math
import struct
import time

import pytest

from models.calls import ask, version
from tidemill.core.chat import ChatRequest
from tidemill.core.errors import Denied, Invalid, RateLimited, TidemillError, Unavailable
from tidemill.core.parts import Message, Text, ToolCall, ToolResult
from tidemill.models.caller import Caller

pytestmark = pytest.mark.anyio


def scripted(*rows, **spec):
    return version(provider="test", script=list(rows), **spec)


async def test_without_a_script_it_echoes_and_counts_words(call, traced):
    result = await call(version(provider="test"), ask("first words", "tell me  more"))
    assert result.response.message.text == "tell me  more"
    assert (result.response.usage.input_tokens, result.response.usage.output_tokens) == (5, 3)
    assert (result.cost, result.connection, result.attempts, result.response.finish_reason) == (0.0, "test", 1, "stop")
    span = traced.records[0]
    assert (span.status, span.usage, span.cost, span.model) == ("ok", result.response.usage, 0.0, "m")
    assert span.attributes["tidemill.connection"] == "test"
    assert span.attributes["gen_ai.provider.name"] == "test"
    assert span.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert span.output == {"role": "assistant", "content": "tell me  more"}


async def test_reply_renders_input_and_number_without_escaping_or_rendering_again(call):
    model = version(provider="test", reply="{{n}}: {{input}} / {{{input}}}")
    assert (await call(model, ask("<b> & {{n}}"))).response.message.text == "1: <b> & {{n}} / <b> & {{n}}"
    assert (await call(model, ask("x"))).response.message.text == "2: x / x"


async def test_a_reply_reads_no_files(call):
    assert (await call(version(provider="test", reply="[{{> pyproject.toml}}]"), ask("x"))).response.message.text == "[]"


async def test_the_first_matching_row_of_a_script_wins(call):
    model = scripted(
        {"when": "(?i)capital", "reply": "Paris"}, {"when": "capital of Peru", "reply": "Lima"}, {"reply": "? {{input}}"}
    )
    assert (await call(model, ask("Capital of Peru"))).response.message.text == "Paris"
    assert (await call(model, ask("weather"))).response.message.text == "? weather"


async def test_a_script_that_does_not_match_falls_back_to_reply_then_echo(call):
    row = {"when": "^never$", "reply": "x"}
    assert (await call(scripted(row), ask("hello"))).response.message.text == "hello"
    assert (await call(scripted(row, reply="fallback"), ask("hello"))).response.message.text == "fallback"


async def test_a_json_reply_is_given_as_it_stands(call):
    model = scripted({"reply": {"label": "spam", "inner": {"n": 1}}})
    request = ask("x", output_schema={"type": "object"})
    assert (await call(model, request)).response.message.text == '{"label":"spam","inner":{"n":1}}'


async def test_a_stream_comes_word_by_word_and_ends_like_the_whole(call, streamed):
    model = version(provider="test", reply="  one two\nthree ")
    deltas, result = await streamed(model, ask("x"))
    assert [each.text for each in deltas] == ["  one", " two", "\nthree", " ", ""]
    assert (deltas[-1].finish_reason, deltas[-1].usage.output_tokens) == ("stop", 3)
    assert result.response.message == (await call(model, ask("x"))).response.message
    assert result.first_token_ms is not None


async def test_max_tokens_cuts_and_says_so(call):
    result = await call(version(provider="test", reply="a b c d", params={"max_tokens": 9}), ask("x", params={"max_tokens": 2}))
    assert (result.response.message.text, result.response.finish_reason) == ("a b", "length")
    assert result.response.usage.output_tokens == 2


async def test_logprobs_are_given_when_asked_for(call):
    result = await call(version(provider="test", reply="a b"), ask("x", params={"logprobs": True}))
    assert [each.token for each in result.response.logprobs] == ["a", " b"]
    assert all(each.logprob <= 0 for each in result.response.logprobs)


@pytest.mark.parametrize(
    ("status", "kind", "attempts"),
    [(401, Denied, 1), (400, Invalid, 1), (429, RateLimited, 3), (500, Unavailable, 3), (503, Unavailable, 3)],
)
async def test_status_fails_as_that_status_would(call, traced, status, kind, attempts):
    model = scripted({"when": "bad", "status": status}, {"reply": "{{n}}"})
    with pytest.raises(kind, match=str(status)) as caught:
        await call(model, ask("bad"))
    assert type(caught.value) is kind
    assert traced.records[0].status == "error"
    assert (await call(model, ask("good"))).response.message.text == str(attempts + 1)


async def test_after_tokens_breaks_the_stream_off(models, traced):
    model = scripted({"reply": "one two three four", "after_tokens": 2})
    span = traced.span()
    stream = models.stream(model, ask("x"), caller=Caller.internal("p", "local"), span=span)
    assert [(await anext(stream)).text, (await anext(stream)).text] == ["one", " two"]
    with pytest.raises(Unavailable, match="ended early"), span:
        await anext(stream)
    assert traced.records[0].output == {"role": "assistant", "content": "one two"}
    assert traced.records[0].attributes["gen_ai.response.finish_reasons"] == ["error"]


async def test_after_tokens_with_a_status_and_longer_than_the_reply(models, traced):
    for row in ({"reply": "one two", "after_tokens": 1, "status": 429}, {"reply": "one", "after_tokens": 9}):
        stream = models.stream(scripted(row), ask("x"), caller=Caller.internal("p", "local"), span=traced.span())
        assert (await anext(stream)).text == "one"
        with pytest.raises(Unavailable):
            await anext(stream)


async def test_fail_rate_is_by_chance_but_the_same_every_time(models, traced):
    async def failing(seed: int) -> list[bool]:
        from tidemill.models.providers.test import TestChat

        models._reach._chat["test"] = TestChat()
        model = version(provider="test", fail_rate=0.75, seed=seed)
        outcomes = []
        for number in range(60):
            try:
                await models.chat(model, ask(f"q{number}"), caller=Caller.internal(f"{seed}", "local"), span=traced.span())
                outcomes.append(True)
            except Unavailable:
                outcomes.append(False)
        return outcomes

    first = await failing(1)
    assert first == await failing(1)
    assert first != await failing(2)
    # Three attempts each: 0.75 ** 3 = 0.42 of the calls fail.
    assert 12 < first.count(False) < 40


async def test_fail_rate_one_always_fails_and_zero_never(call):
    with pytest.raises(Unavailable):
        await call(version(provider="test", fail_rate=1.0), ask("x"))
    assert (await call(version(provider="test", fail_rate=0), ask("x"))).response.message.text == "x"


async def test_it_takes_the_time_it_was_told_to(call, streamed):
    model = version(provider="test", reply="a b c d", first_token_ms=20, tokens_per_second=200)
    started = time.perf_counter()
    _, result = await streamed(model, ask("x"))
    assert result.first_token_ms >= 20
    assert time.perf_counter() - started >= 0.04
    assert (await call(scripted({"reply": "a", "delay_ms": 15}), ask("x"))).latency_ms >= 15


async def test_a_script_of_tool_calls_goes_on_after_their_results(call):
    model = scripted(
        {"when": "weather", "tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]},
        {"when": "^sunny", "reply": "It is sunny in Oslo."},
    )
    first = (await call(model, ask("weather?"))).response
    assert first.finish_reason == "tool_calls"
    (made,) = first.message.tool_calls
    assert (made.name, made.arguments) == ("weather", '{"city":"Oslo"}')
    result = Message(role="tool", parts=(ToolResult(id=made.id, content="sunny, 21 C"),))
    request = ChatRequest(model="", messages=(Message.of("user", "weather?"), first.message, result))
    second = (await call(model, request)).response
    assert (second.message.text, second.finish_reason) == ("It is sunny in Oslo.", "stop")
    again = ChatRequest(model="", messages=(*request.messages, second.message, Message.of("user", "weather now?")))
    assert (await call(model, again)).response.finish_reason == "tool_calls"


async def test_a_call_that_came_back_with_other_spaces_was_made(call):
    model = scripted(
        {"when": "weather", "tool_calls": [{"name": "f", "arguments": {"city": "Oslo", "days": 2}}]}, {"reply": "done"}
    )
    call_back = ToolCall(id="c", name="f", arguments='{"days": 2, "city": "Oslo"}')
    messages = (Message.of("user", "weather?"), Message(role="assistant", parts=(call_back,)))
    result = Message(role="tool", parts=(ToolResult(id="c", content="the weather is fine"),))
    assert (await call(model, ChatRequest(model="", messages=(*messages, result)))).response.message.text == "done"


async def test_a_script_without_a_row_for_the_result_repeats_the_result(call):
    model = scripted({"tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}], "reply": "thinking"})
    first = (await call(model, ask("go"))).response.message
    assert first.parts == (Text(text="thinking"), ToolCall(id="c1", name="f", arguments="{}"))
    request = ChatRequest(
        model="", messages=(Message.of("user", "go"), first, Message(role="tool", parts=(ToolResult(id="c1", content="42"),)))
    )
    assert (await call(model, request)).response.message.text == "42"


async def test_vectors_are_near_where_words_are_shared(models):
    embedder = version("embedder", provider="test", dimensions=32)
    texts = ["the tide mill", "the tide mill turns", "quarterly revenue", ""]
    answer = await models.embed(embedder, texts, caller=Caller.internal("p", "local"))
    assert (answer.vectors.count, answer.vectors.dimensions, answer.usage.input_tokens) == (4, 32, 9)
    rows = [struct.unpack("<32f", answer.vectors.row(index)) for index in range(4)]
    assert all(math.isclose(sum(each * each for each in row), 1.0, rel_tol=1e-5) for row in rows)
    near = sum(a * b for a, b in zip(rows[0], rows[1], strict=True))
    far = sum(a * b for a, b in zip(rows[0], rows[2], strict=True))
    assert near > 0.7 > far
    assert (await models.embed(embedder, texts[:1], caller=Caller.internal("p", "local"))).vectors.row(0) == answer.vectors.row(
        0
    )


async def test_many_batches_come_back_in_order(models):
    embedder = version("embedder", provider="test", dimensions=16)
    texts = [f"word{index}" for index in range(2500)]
    whole = await models.embed(embedder, texts, caller=Caller.internal("p", "local"))
    assert whole.vectors.count == 2500
    one = await models.embed(embedder, texts[2400:2401], caller=Caller.internal("p", "local"))
    assert one.vectors.row(0) == whole.vectors.row(2400)
    assert (await models.embed(embedder, [], caller=Caller.internal("p", "local"))).vectors.count == 0


async def test_an_unknown_connection_or_provider_is_named(call, connections):
    with pytest.raises(TidemillError, match="connection/nowhere does not exist"):
        await call(version(provider="test", connection="nowhere"), ask("x"))
    with pytest.raises(Invalid, match="'tset'") as caught:
        await call(version(provider="tset"), ask("x"))
    assert "test" in caught.value.hint
