"""Guardrails over the streams of real upstreams: what is held back, what is stopped, what is passed on byte for byte."""

from __future__ import annotations

import asyncio
import json
from importlib import metadata

import openai
import orjson
import pytest

from serve.guarded import SECRET, Told, events, guarding
from serve.kept import Kept
from serve.platform import PROJECT, listening
from serve.test_passing_on import Provider, app, chunk
from tidemill.core import extend
from tidemill.store.feedback import list_feedback

pytestmark = pytest.mark.anyio

QUESTION = [{"role": "user", "content": "When is high water?"}]
USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":40}}\n\n'
DONE = b"data: [DONE]\n\n"


def documents(url, **guarded):
    """A model of the upstream for each name, with these guardrails."""
    models = [
        f"kind: model\nname: {name}\nprovider: openai\nmodel: gpt-up\nguardrails: [{', '.join(each)}]"
        for name, each in guarded.items()
    ]
    return "\n---\n".join([app(url), *models])


class Answers:
    """Sends pieces, each when it may."""

    def __init__(self, *pieces):
        self.pieces = pieces
        self.may = [asyncio.Event() for _ in pieces]
        self.gone = asyncio.Event()

    async def __call__(self, scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        leaving = asyncio.create_task(self._leave(receive))
        try:
            for piece, may in zip(self.pieces, self.may, strict=True):
                await may.wait()
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            leaving.cancel()

    async def _leave(self, receive):
        if (await receive())["type"] == "http.disconnect":
            self.gone.set()


async def test_a_secret_in_three_pieces_does_not_get_out_in_any_dialect(tmp_path):
    provider = Provider()
    provider.streams(
        chunk("the key is sk-ab"), chunk("cdef0"), chunk("12345, keep"), chunk(" it"), chunk(finish="stop"), USAGE, DONE
    )
    async with listening(provider) as url, guarding(tmp_path, documents(url, g=["guardrail/secrets"])) as platform:
        client = await platform.client()
        stream = await client.chat.completions.create(
            model="model/g", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
        chunks = [each async for each in stream]
        said = "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
        assert said == "the key is [secret], keep it"
        assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (7, 40)
        async with client.responses.stream(model="model/g", input="x") as answer:
            assert (await answer.get_final_response()).output_text == "the key is [secret], keep it"
        span = next(each for each in platform.spans if each.kind == "llm")
        assert (span.usage.input_tokens, span.usage.output_tokens) == (7, 40)
        assert span.output["content"] == "the key is [secret], keep it"
        assert SECRET not in str(platform.spans)


async def test_without_output_guardrails_bytes_pass_as_they_are(tmp_path):
    provider = Provider()
    pieces = (b": hello\r\n\r\n", chunk(f"the key is {SECRET}", odd={"x": 1}), chunk(finish="stop"), DONE)
    provider.streams(*pieces)
    async with listening(provider) as url, guarding(tmp_path, documents(url, g=["guardrail/asked"])) as platform:
        http = await platform.http()
        body = {"model": "model/g", "messages": QUESTION, "stream": True, "stream_options": {"include_usage": True}, "odd": [1]}
        answer = await http.post("/v1/chat/completions", json=body)
        assert answer.content == b"".join(pieces)
        assert answer.headers["x-tidemill-guardrails"] == "asked=allow"
        assert orjson.loads(provider.bodies[0]) == {**body, "model": "gpt-up"}
        body["messages"] = [{"role": "user", "content": [{"type": "text", "text": f"my key is {SECRET}", "odd": 2}]}]
        answer = await http.post("/v1/chat/completions", json=body)
        assert answer.content == b"".join(pieces)
        sent = orjson.loads(provider.bodies[1])
        assert sent["messages"][0]["content"] == [{"type": "text", "text": "my key is [secret]", "odd": 2}]
        assert sent["odd"] == [1]


async def test_the_first_words_come_though_the_next_do_not(tmp_path):
    upstream = Answers(chunk("Hello"), chunk(" there"), chunk(finish="stop") + DONE)
    quick = """
---
kind: guardrail
name: quick
on: output
check: {denylist: {words: [kraken]}}
hold: {characters: 5000, time: 50ms}
"""
    async with (
        listening(upstream) as url,
        guarding(tmp_path, documents(url, g=["guardrail/quick"]) + quick) as platform,
    ):
        client = await platform.client()
        upstream.may[0].set()
        stream = aiter(await client.chat.completions.create(model="model/g", messages=QUESTION, stream=True))
        assert (await anext(stream)).choices[0].delta.role == "assistant"
        assert (await anext(stream)).choices[0].delta.content == "Hello"
        for each in upstream.may:
            each.set()
        assert "".join([each.choices[0].delta.content or "" async for each in stream]) == " there"


async def test_what_is_blocked_in_the_middle_ends_there_and_the_provider_is_stopped(tmp_path):
    fine = "The wind is from the west. " * 20
    upstream = Answers(chunk(fine), chunk("And there is a mutiny on"), chunk(" board. " + fine), chunk("never"))
    async with listening(upstream) as url, guarding(tmp_path, documents(url, g=["guardrail/words"])) as platform:
        client = await platform.client()
        for each in upstream.may[:3]:
            each.set()
        chunks = [each async for each in await client.chat.completions.create(model="model/g", messages=QUESTION, stream=True)]
        said = "".join(each.choices[0].delta.content or "" for each in chunks)
        assert fine.startswith(said)
        assert len(said) > 200
        assert chunks[-1].choices[0].finish_reason == "content_filter"
        assert chunks[-1].model_extra["tidemill"]["guardrails"] == {"words": "block"}
        await upstream.gone.wait()
        span = next(each for each in platform.spans if each.kind == "llm")
        assert span.usage.output_tokens > len(fine) / 4
        assert span.usage.input_tokens > 0
        assert span.finish_reasons == ("content_filter",) or "content_filter" in str(span.attributes)


async def test_who_leaves_while_words_are_held_back_stops_the_provider_and_they_count(tmp_path):
    upstream = Answers(chunk("x" * 300), chunk("y" * 100), chunk("never"))
    async with listening(upstream) as url, guarding(tmp_path, documents(url, g=["guardrail/secrets"])) as platform:
        http = await platform.http()
        upstream.may[0].set()
        body = {"model": "model/g", "messages": QUESTION, "stream": True}
        async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
            upstream.may[1].set()
            async for piece in answer.aiter_bytes():
                if b"xxx" in piece:
                    break
        await upstream.gone.wait()
        while not any(each.kind == "llm" for each in platform.spans):  # noqa: ASYNC110  (nobody is told of spans)
            await asyncio.sleep(0)
        span = next(each for each in platform.spans if each.kind == "llm")
        assert span.usage.output_tokens >= 75
        assert span.attributes["tidemill.estimated"] is True
        assert span.output["content"].strip("xy") == ""


async def test_calls_of_tools_wait_until_they_are_whole(tmp_path):
    def piece(**call):
        delta = {"tool_calls": [{"index": 0, **call}]}
        return b"data: " + json.dumps({"id": "c", "choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"

    provider = Provider()
    provider.streams(
        piece(id="t", type="function", function={"name": "send", "arguments": '{"text": "sk-abc'}),
        piece(function={"arguments": "def01"}), piece(function={"arguments": '2345"}'}), chunk(finish="tool_calls"), DONE,
    )  # fmt: skip
    async with listening(provider) as url, guarding(tmp_path, documents(url, g=["guardrail/secrets"])) as platform:
        client = await platform.client()
        async with client.chat.completions.stream(model="model/g", messages=QUESTION) as stream:
            (choice,) = (await stream.get_final_completion()).choices
        assert choice.finish_reason == "tool_calls"
        (call,) = choice.message.tool_calls
        assert (call.id, call.function.name, json.loads(call.function.arguments)) == ("t", "send", {"text": "[secret]"})


async def test_tokens_of_what_was_replaced_are_not_told(tmp_path):
    def with_tokens(*texts):
        for each in texts:
            token = {"token": each, "logprob": -1.0, "bytes": None, "top_logprobs": []}
            choice = {"index": 0, "delta": {"content": each}, "logprobs": {"content": [token]}, "finish_reason": None}
            yield b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"

    provider = Provider()
    async with listening(provider) as url, guarding(tmp_path, documents(url, g=["guardrail/secrets"])) as platform:
        client = await platform.client()
        for texts, told in ((("sk-abc", "def012345"), []), (("high ", "water"), ["high ", "water"])):
            provider.streams(*with_tokens(*texts), chunk(finish="stop"), DONE)
            stream = await client.chat.completions.create(model="model/g", messages=QUESTION, stream=True, logprobs=True)
            found = [
                each.token
                async for got in stream
                for each in (got.choices[0].logprobs.content if got.choices[0].logprobs else ())
            ]
            assert found == told


@pytest.fixture
def told(monkeypatch):
    """The check `told` is registered."""
    entry = metadata.EntryPoint("told", "serve.guarded:Told", "tidemill.checks")
    real = extend._entry_points
    monkeypatch.setattr(
        extend, "_entry_points", lambda group: {**real(group), "told": entry} if group == "checks" else real(group)
    )
    Told.seen, Told.asked = [], asyncio.Event()


def telling(name, does, *, on="output", more=""):
    return f"---\nkind: guardrail\nname: {name}\non: {on}\ncheck: {{told: {{does: {does}}}}}\ntimeout: 50ms\n{more}\n"


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("does", ["fail", "hang"])
async def test_a_check_that_cannot_look_refuses_or_lets_pass_as_its_policy_says(tmp_path, does):
    text = "".join(
        f"---\nkind: model\nname: {name}\nprovider: test\nreply: all is well\nguardrails: [guardrail/{name}]\n"
        for name in ("closed", "open", "first", "first-open")
    )
    text = (
        telling("closed", does) + telling("open", does, more="on_error: open") + telling("first", does, on="input")
        + telling("first-open", does, on="input", more="on_error: open") + text
    )  # fmt: skip
    async with guarding(tmp_path, text.removeprefix("---\n")) as platform:
        client = await platform.client()
        for stream in (False, True):
            for name in ("closed", "first"):
                with pytest.raises(
                    (openai.InternalServerError, openai.APIStatusError), match=f"guardrail/{name} could not look"
                ) as caught:
                    await client.chat.completions.create(model=f"model/{name}", messages=QUESTION, stream=stream)
                assert caught.value.status_code == 503
                assert caught.value.response.headers["x-tidemill-guardrails"] == f"{name}=failed"
            for name in ("open", "first-open"):
                answer = await client.chat.completions.with_raw_response.create(
                    model=f"model/{name}", messages=QUESTION, stream=stream
                )
                assert answer.headers["x-tidemill-guardrails"] == f"{name}=failed"
                if not stream:
                    assert answer.parse().choices[0].message.content == "all is well"
        spans = [each for each in platform.spans if each.name == "closed" and each.kind == "guardrail"]
        assert all(each.status == "error" for each in spans)
        used = [each.usage.output_tokens for each in platform.spans if each.name == "closed" and each.kind == "llm"]
        assert used == [3, 3]


CACHED = """
---
kind: model
name: kept
provider: test
reply: "the key is sk-abcdef012345, number {{n}}"
cache: {share: project}
guardrails: [guardrail/secrets]
---
kind: model
name: watched
provider: test
reply: "a storm, number {{n}}"
cache: {share: project}
guardrails: [guardrail/watch]
---
kind: model
name: unsure
provider: test
reply: "number {{n}}"
cache: {share: project}
guardrails: [guardrail/open]
"""


@pytest.mark.usefixtures("told")
async def test_answers_are_kept_as_they_were_given_and_not_for_other_guardrails(tmp_path):
    text = telling("open", "fail", more="on_error: open").removeprefix("---\n") + CACHED
    async with guarding(tmp_path, text) as platform:
        kept = Kept(platform)
        http = await platform.http()
        first, second = [await kept.ask(http=http) for _ in range(2)]
        assert [each.headers["x-tidemill-cache"] for each in (first, second)] == ["miss", "hit"]
        assert first.headers["x-tidemill-guardrails"] == "secrets=redact"
        assert second.headers["x-tidemill-guardrails"] == "secrets=kept"
        assert "[secret], number 1" in first.text
        assert "[secret], number 1" in second.text
        streamed = await kept.ask(http=http, stream=True)
        assert "[secret]" in streamed.text
        assert streamed.headers["x-tidemill-cache"] == "hit"
        for name in ("watched", "unsure"):
            answers = [await kept.ask(http=http, model=f"model/{name}") for _ in range(2)]
            assert [each.headers["x-tidemill-cache"] for each in answers] == ["miss", "miss"]
        await platform.apply(
            "kind: guardrail\nname: secrets\non: output\ncheck: {denylist: {words: [key]}}\naction: redact\n---\n"
            + CACHED.split("---\n")[1]
        )
        third = await kept.ask(http=http)
        assert third.headers["x-tidemill-cache"] == "miss"
        assert "[denied]" in third.text
        await kept.answers.close()


async def test_what_is_escalated_passes_and_a_reviewer_finds_it(tmp_path):
    text = "kind: model\nname: m\nprovider: test\nreply: a storm comes\nguardrails: [guardrail/watch]\n"
    async with guarding(tmp_path, text) as platform:
        client = await platform.client()
        answer = await client.chat.completions.with_raw_response.create(model="model/m", messages=QUESTION)
        assert answer.parse().choices[0].message.content == "a storm comes"
        assert answer.headers["x-tidemill-guardrails"] == "watch=escalate"
        await platform.models.guards.close()
        (said,) = await platform.database.read(lambda db: list_feedback(db, PROJECT))
        span = next(each for each in platform.spans if each.kind == "guardrail")
        assert (said.kind, said.name, said.source) == ("event", "escalated", "guardrail/watch")
        assert (said.trace_id, said.span_id) == (answer.headers["x-tidemill-trace"], span.span_id)
        assert said.value == {"guardrail": "guardrail/watch", "on": "output", "found": ["denied"]}
        assert span.attributes["tidemill.guardrail.action"] == "escalate"


async def test_several_answers_are_read_each_by_itself(tmp_path):
    def piece(index, text=None, finish=None):
        choice = {"index": index, "delta": {} if text is None else {"content": text}, "finish_reason": finish}
        return b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"

    provider = Provider()
    provider.streams(
        piece(0, "one sk-abc"), piece(1, "two sk-012"), piece(0, "def012345"), piece(1, "345abcdef"), piece(0, finish="stop"),
        piece(1, finish="stop"), DONE,
    )  # fmt: skip
    async with listening(provider) as url, guarding(tmp_path, documents(url, g=["guardrail/secrets"])) as platform:
        http = await platform.http()
        answer = await http.post(
            "/v1/chat/completions", json={"model": "model/g", "messages": QUESTION, "stream": True, "n": 2}
        )
        said = {0: "", 1: ""}
        for each in events(answer.content):
            for choice in each["choices"]:
                said[choice["index"]] += choice["delta"].get("content") or ""
        assert said == {0: "one [secret]", 1: "two [secret]"}
