"""Guardrails of models and endpoints, as clients meet them at every door."""

from __future__ import annotations

import anthropic
import httpx
import openai
import pytest

from serve.guarded import SECRET, events, guarding

pytestmark = pytest.mark.anyio

MODELS = f"""
kind: model
name: echo
provider: test
guardrails: [guardrail/asked, guardrail/denied, guardrail/tools]
---
kind: model
name: leaky
provider: test
reply: "the key is {SECRET}, keep it"
guardrails: [guardrail/secrets, guardrail/words]
---
kind: model
name: bad
provider: test
reply: "there is a mutiny on board"
guardrails: [guardrail/words]
---
kind: model
name: polite
provider: test
reply: "there is a mutiny on board"
guardrails: [guardrail/polite, guardrail/polite-out]
---
kind: route
name: either
targets: [model/plain, model/bad]
guardrails: [guardrail/asked]
---
kind: model
name: plain
provider: test
---
kind: embedder
name: words
provider: test
"""
KEPT = "the key is [secret], keep it"


READS_CONTEXT = """
kind: guardrail
name: g
on: context
check: {denylist: {words: [a]}}
---
kind: route
name: r
targets: [model/plain]
guardrails: [guardrail/g]
"""


@pytest.fixture
async def guarded(tmp_path):
    async with guarding(tmp_path, MODELS) as platform:
        yield platform


def said(text):
    return [{"role": "user", "content": text}]


async def anthropic_client(platform):
    client = anthropic.AsyncAnthropic(api_key=await platform.key(), base_url=platform.url, max_retries=0)
    return await platform.closing.enter_async_context(client)


async def test_chat_completions_are_given_as_the_guardrail_leaves_them(guarded):
    client = await guarded.client()
    answer = await client.chat.completions.with_raw_response.create(model="model/leaky", messages=said("the key?"))
    assert answer.parse().choices[0].message.content == KEPT
    assert answer.headers["x-tidemill-guardrails"] == "secrets=redact, words=allow"
    assert answer.parse().model_extra["tidemill"]["guardrails"] == {"secrets": "redact", "words": "allow"}
    stream = await client.chat.completions.create(
        model="model/leaky", messages=said("the key?"), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == KEPT
    assert [each.choices[0].finish_reason for each in chunks if each.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens > 0
    assert chunks[-1].model_extra["tidemill"]["guardrails"]["secrets"] == "redact"


async def test_messages_responses_and_completions_too(guarded):
    claude, client = await anthropic_client(guarded), await guarded.client()
    asked = {"model": "model/leaky", "messages": said("the key?"), "max_tokens": 50}
    assert (await claude.messages.create(**asked)).content[0].text == KEPT
    async with claude.messages.stream(**asked) as stream:
        assert "".join([text async for text in stream.text_stream]) == KEPT
        assert (await stream.get_final_message()).stop_reason == "end_turn"
    assert (await client.responses.create(model="model/leaky", input="the key?")).output_text == KEPT
    async with client.responses.stream(model="model/leaky", input="the key?") as stream:
        assert (await stream.get_final_response()).output_text == KEPT
    assert (await client.completions.create(model="model/leaky", prompt="the key?")).choices[0].text == KEPT
    pieces = await client.completions.create(model="model/leaky", prompt="the key?", stream=True)
    assert "".join([each.choices[0].text async for each in pieces]) == KEPT


async def test_a_blocked_answer_ends_as_a_filter_of_the_dialect_does(guarded):
    client, claude = await guarded.client(), await anthropic_client(guarded)
    answer = await client.chat.completions.with_raw_response.create(model="model/bad", messages=said("x"))
    (choice,) = answer.parse().choices
    assert (choice.finish_reason, choice.message.content) == ("content_filter", "")
    assert answer.headers["x-tidemill-guardrails"] == "words=block"
    chunks = [each async for each in await client.chat.completions.create(model="model/bad", messages=said("x"), stream=True)]
    assert "".join(each.choices[0].delta.content or "" for each in chunks) == ""
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    asked = {"model": "model/bad", "messages": said("x"), "max_tokens": 50}
    assert (await claude.messages.create(**asked)).stop_reason == "refusal"
    async with claude.messages.stream(**asked) as stream:
        assert (await stream.get_final_message()).stop_reason == "refusal"
    response = await client.responses.create(model="model/bad", input="x")
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "content_filter")
    async with client.responses.stream(model="model/bad", input="x") as stream:
        assert [each.type async for each in stream][-1] == "response.incomplete"
    assert (await client.completions.create(model="model/bad", prompt="x")).choices[0].finish_reason == "content_filter"


async def test_a_guardrail_may_say_something_instead(guarded):
    client, claude = await guarded.client(), await anthropic_client(guarded)
    for question in ("a mutiny", "the news"):
        answer = await client.chat.completions.create(model="model/polite", messages=said(question))
        assert answer.choices[0].message.content == "We do not speak of that."
        assert answer.choices[0].finish_reason == "content_filter"
        asked = {"model": "model/polite", "messages": said(question), "max_tokens": 50}
        async with claude.messages.stream(**asked) as stream:
            assert "".join([text async for text in stream.text_stream]) == "We do not speak of that."
            assert (await stream.get_final_message()).stop_reason == "refusal"


async def test_a_blocked_question_is_an_error_of_the_dialect(guarded):
    client, claude = await guarded.client(), await anthropic_client(guarded)
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="model/echo", messages=said("the kraken comes"), stream=stream)
        assert (caught.value.code, caught.value.param) == ("content_filter", "guardrail/denied")
        assert caught.value.response.headers["x-tidemill-guardrails"] == "denied=block"
        assert "kraken" not in caught.value.message
        with pytest.raises(anthropic.BadRequestError) as refused:
            await claude.messages.create(
                model="model/echo", messages=said("the kraken comes"), max_tokens=9, stream=stream, system="be kind"
            )
        assert refused.value.body["error"]["type"] == "invalid_request_error"
        assert refused.value.body["error"]["code"] == "content_filter"
    with pytest.raises(openai.BadRequestError):
        await client.responses.create(model="model/echo", input="the kraken comes")
    with pytest.raises(openai.BadRequestError):
        await client.completions.create(model="model/echo", prompt="the kraken comes")


async def test_every_part_of_a_question_is_read(guarded):
    client, claude = await guarded.client(), await anthropic_client(guarded)
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"id": "\\u006braken"}'}}
    questions = [
        [{"role": "system", "content": "a kraken"}, *said("x")],
        [{"role": "user", "content": [{"type": "text", "text": "a kra"}, {"type": "text", "text": "ken"}]}],
        [*said("x"), {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "y"}],
        [*said("x"), {"role": "assistant", "tool_calls": [{**call, "function": {"name": "f", "arguments": "{}"}}]},
         {"role": "tool", "tool_call_id": "c", "content": "a mutiny"}],
    ]  # fmt: skip
    for messages in questions:
        with pytest.raises(openai.BadRequestError, match="blocked"):
            await client.chat.completions.create(model="model/echo", messages=messages)
    tools = [{"type": "function", "function": {"name": "f", "description": "summons a kraken", "parameters": {}}}]
    with pytest.raises(openai.BadRequestError, match="blocked"):
        await client.chat.completions.create(model="model/echo", messages=said("x"), tools=tools)
    schema = {"type": "object", "properties": {"status": {"type": "string", "description": "how the kraken is"}}}
    with pytest.raises(openai.BadRequestError, match="blocked"):
        await client.chat.completions.create(
            model="model/echo", messages=said("x"),
            response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}},
        )  # fmt: skip
    blocks = [
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "a mutiny"}]},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a kraken"}},
        {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "a kraken"}]},
    ]
    for block in blocks:
        with pytest.raises(anthropic.BadRequestError, match="blocked"):
            await claude.messages.create(model="model/echo", messages=said([block]), max_tokens=9)


async def test_a_question_goes_out_as_the_guardrail_leaves_it_also_to_the_trace(guarded):
    client = await guarded.client()
    answer = await client.chat.completions.create(model="model/echo", messages=said(f"my key is {SECRET}"))
    assert answer.choices[0].message.content == "my key is [secret]"
    spans = {each.name: each for each in guarded.spans}
    assert spans["echo"].input == [{"role": "user", "content": "my key is [secret]"}]
    assert {name: each.kind for name, each in spans.items() if name != "echo"} == dict.fromkeys(
        ("asked", "denied", "tools"), "guardrail"
    )
    assert spans["asked"].attributes == {
        "tidemill.guardrail": "guardrail/asked", "tidemill.guardrail.point": "input", "tidemill.guardrail.action": "redact",
    }  # fmt: skip
    assert spans["asked"].output == {"action": "redact", "passed": False, "findings": ["secret"]}
    assert spans["asked"].parent_id == spans["echo"].span_id
    assert SECRET not in str(guarded.spans)


async def test_a_route_has_the_guardrails_of_whatever_it_may_ask(guarded):
    client = await guarded.client()
    for _ in range(4):
        answer = await client.chat.completions.create(model="route/either", messages=said(f"a mutiny and {SECRET}"))
        assert answer.choices[0].finish_reason == "content_filter"


async def test_a_model_without_guardrails_says_nothing_of_them(guarded):
    client = await guarded.client()
    answer = await client.chat.completions.with_raw_response.create(model="model/plain", messages=said(SECRET))
    assert "x-tidemill-guardrails" not in answer.headers
    assert answer.parse().choices[0].message.content == SECRET
    assert "guardrails" not in answer.parse().model_extra["tidemill"]


async def test_an_endpoint_guards_what_answers_there(guarded):
    await guarded.apply("kind: endpoint\nname: front\nguardrails: [guardrail/secrets, guardrail/denied]\n")
    await guarded.deploy("model/plain", "front")
    client = await guarded.client()
    answer = await client.chat.completions.create(model="front", messages=said(SECRET))
    assert answer.choices[0].message.content == "[secret]"
    with pytest.raises(openai.BadRequestError, match="guardrail/denied blocked the input"):
        await client.chat.completions.create(model="front", messages=said("kraken"))
    await guarded.apply("kind: endpoint\nname: front\nguardrails: [guardrail/denied]\n")
    answer = await client.chat.completions.create(model="front", messages=said(SECRET))
    assert answer.choices[0].message.content == SECRET


CHAIN = """
kind: chain
name: told
inputs: {question: string, more: string?}
steps:
  - {id: answer, prompt: prompt/tell, model: model/plain, with: {question: "{{question}}"}}
output: "{{answer.text}}"
---
kind: prompt
name: tell
messages: [{role: user, content: "{{question}}"}]
---
kind: chain
name: inner
inputs: {question: string}
steps:
  - {id: answer, prompt: prompt/tell, model: model/leaky, with: {question: "{{question}}"}}
output: "{{answer.text}}"
---
kind: endpoint
name: front
guardrails: [guardrail/asked, guardrail/words, guardrail/polite]
"""


async def test_an_endpoint_guards_a_chain_and_a_chain_cannot_go_around_its_model(guarded):
    await guarded.apply(CHAIN.replace(", more: string?", ""))
    await guarded.deploy("chain/told", "front")
    client, claude = await guarded.client(), await anthropic_client(guarded)

    async def ask(text, **fields):
        return await client.chat.completions.with_raw_response.create(model="front", messages=said(text), **fields)

    answer = await ask(f"hear {SECRET}")
    assert answer.parse().choices[0].message.content == "hear [secret]"
    assert answer.headers["x-tidemill-guardrails"] == "asked=redact, words=allow, polite=allow"
    assert SECRET not in str(guarded.spans)
    answer = (await ask("the kraken")).parse()
    assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == ("content_filter", "")
    answer = (await ask("a mutiny")).parse()
    assert answer.choices[0].message.content == "We do not speak of that."
    for text, wanted, stop in (
        (f"hear {SECRET}", "hear [secret]", "end_turn"), ("the kraken", "", "refusal"),
        ("a mutiny", "We do not speak of that.", "refusal"),
    ):  # fmt: skip
        async with claude.messages.stream(model="front", messages=said(text), max_tokens=9) as stream:
            assert "".join([each async for each in stream.text_stream]) == wanted
            assert (await stream.get_final_message()).stop_reason == stop
    inner = await client.chat.completions.create(model="chain/inner", messages=said("x"))
    assert inner.choices[0].message.content == KEPT


async def test_texts_to_embed_are_read(guarded):
    await guarded.apply("kind: endpoint\nname: vectors\nguardrails: [guardrail/denied, guardrail/asked]\n")
    http = await guarded.http()
    await guarded.apply("kind: route\nname: vecs\ntargets: [embedder/words]\nguardrails: [guardrail/denied]\n")
    answer = await http.post("/v1/embeddings", json={"model": "route/vecs", "input": ["fine", "a kraken"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "content_filter")
    assert answer.headers["x-tidemill-guardrails"] == "denied=block"
    assert (await http.post("/v1/embeddings", json={"model": "route/vecs", "input": "fine"})).status_code == 200


async def test_what_documents_say_wrong_is_told(guarded):
    wrong = (
        ("kind: model\nname: m\nprovider: test\nguardrails: guardrail/asked\n", "not a list"),
        ("kind: model\nname: m\nprovider: test\nguardrails: [model/plain]\n", "guardrail"),
        ("kind: endpoint\nname: e\nguardrails: [guardrail/nobody]\n", "nobody"),
        (READS_CONTEXT, "retrieved text"),
        ("kind: guardrail\nname: g\non: output\ncheck: {denylist: {words: [a]}}\nroles: [user]\n", "only what reads the input"),
        ("kind: guardrail\nname: g\non: output\ncheck: {denylist: {words: [a]}}\nhold: {time: 2m}\n", "at most 60"),
        ("kind: guardrail\nname: g\non: output\ncheck: {denylist: {words: [a]}}\non_error: perhaps\n", "perhaps"),
    )  # fmt: skip
    for text, message in wrong:
        with pytest.raises(Exception, match=message):
            await guarded.apply(text)


async def test_tokens_cannot_be_read_and_are_refused(guarded):
    http = await guarded.http()
    answer = await http.post("/v1/completions", json={"model": "model/echo", "prompt": [1, 2, 3]})
    assert answer.status_code == 400
    assert "tokens" in answer.json()["error"]["message"]


async def test_the_bytes_of_a_stream_say_that_it_was_blocked(guarded):
    http: httpx.AsyncClient = await guarded.http()
    answer = await http.post("/v1/chat/completions", json={"model": "model/bad", "messages": said("x"), "stream": True})
    assert answer.status_code == 200
    assert answer.headers["x-tidemill-guardrails"] == "words=block"
    last = events(answer.content)[-1]
    assert last["choices"][0]["finish_reason"] == "content_filter"
    assert last["tidemill"]["guardrails"] == {"words": "block"}
