"""A client of the provider's own dialect gets the provider's own bytes, and what they said is counted beside them."""

import asyncio
import json

import openai
import pytest

from models.recordings import recordings, stream_fixtures
from serve.platform import listening, serving

pytestmark = pytest.mark.anyio

QUESTION = [{"role": "user", "content": "When is high water?"}]
DIALECT = (
    "openai", "openai-compatible", "azure", "cerebras", "deepseek", "groq", "huggingface", "mistral", "openrouter", "together",
    "zai",
)  # fmt: skip


class Provider:
    """An upstream that answers every request with what it is given, and notes what it was asked."""

    def __init__(self):
        self.bodies = []
        self.headers = []
        self.pieces = []
        self.content_type = b"text/event-stream"
        self.status = 200
        self.waits = False
        self.heard = None
        self.began = asyncio.Event()
        self.gone = asyncio.Event()

    def answers(self, value, *, status=200):
        self.pieces, self.content_type, self.status = [json.dumps(value).encode()], b"application/json", status

    def streams(self, *pieces):
        self.pieces, self.content_type, self.status = list(pieces), b"text/event-stream", 200

    async def __call__(self, scope, receive, send):
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        self.bodies.append(body)
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        head = [(b"content-type", self.content_type), (b"x-request-id", b"req-7"), (b"openai-organization", b"secret-org")]
        await send({"type": "http.response.start", "status": self.status, "headers": head})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if self.heard is not None:
                await self.heard.wait()
        self.began.set()
        while self.waits:
            if (await receive())["type"] == "http.disconnect":
                self.gone.set()
                return
        await send({"type": "http.response.body", "body": b""})


def app(url, **model):
    return f"""
kind: connection
name: openai
provider: openai
base_url: {url}/v1
allow_private: true
---
kind: model
name: m
provider: openai
model: gpt-up
{json.dumps(model)[1:-1].replace('"', "").replace(", ", chr(10)) if model else ""}
"""


@pytest.fixture
async def passing(tmp_path):
    provider = Provider()
    async with listening(provider) as url, serving(tmp_path, app(url)) as platform:
        yield platform, provider


def chunk(text=None, *, finish=None, **fields):
    delta = {} if text is None else {"content": text}
    value = {"id": "c", "model": "up-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **fields}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


async def finished(platform):
    """Wait until the request's span is there."""
    while not platform.spans:  # noqa: ASYNC110  (spans come by a plain call)
        await asyncio.sleep(0)


def cut(content, size=331):
    return [content[start : start + size] for start in range(0, len(content), size)]


def recorded():
    """Every stream that the data holds in this dialect, as bytes."""
    for row in recordings(*DIALECT, path="/chat/completions"):
        if isinstance(row["response"], str) and row["status"] == 200:
            yield row["id"], row["response"].encode()
    for provider in ("groq", "mistral", "moonshotai", "xai", "perplexity"):
        for row in stream_fixtures(provider):
            yield row["id"], "".join(f"data: {line}\r\n\r\n" for line in row["lines"]).encode()


async def test_every_recorded_stream_passes_byte_for_byte(passing):
    platform, provider = passing
    http = await platform.http()
    passed = refused = 0
    for name, content in recorded():
        provider.streams(*cut(content))
        body = {"model": "model/m", "messages": QUESTION, "stream": True, "stream_options": {"include_usage": True}}
        answer = await http.post("/v1/chat/completions", json=body)
        if b"Token limit reached" in content:  # an error before anything else is one, whatever its status
            assert (answer.status_code, "Token limit reached" in answer.text) == (400, True)
            refused += 1
            continue
        assert answer.status_code == 200, (name, answer.text)
        assert answer.content == content, name
        assert platform.spans[-1].usage.output_tokens or b'"usage"' not in content or b"completion_tokens" not in content, name
        passed += 1
    assert passed > 60
    assert refused < 5


async def test_a_whole_answer_passes_byte_for_byte_and_is_counted(passing):
    platform, provider = passing
    http = await platform.http()
    for row in recordings(*DIALECT, path="/chat/completions"):
        if isinstance(row["response"], str) or row["status"] != 200 or "error" in row["response"]:
            continue
        provider.answers(row["response"])
        answer = await http.post("/v1/chat/completions", json={"model": "model/m", "messages": QUESTION})
        assert answer.content == provider.pieces[0], row["id"]
        assert platform.spans[-1].usage.output_tokens == (row["response"].get("usage") or {}).get("completion_tokens", 0)
        assert answer.headers["x-request-id"] == "req-7"
        assert "openai-organization" not in answer.headers


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"model/m","messages":[{"role":"user","content":"x"}],"temperature":1.0,"new_field":{"a":[1e3,2E0]}}',
        b'{ "messages" : [{"role":"user","content":"\\"model\\" is a word"}],\n "model" :\t"model/m" }',
        '{"model":"model/m","messages":[{"role":"user","content":"Hochwasser in Büsum ☂"}],"seed":12345678901234567}'.encode(),
    ],
)
async def test_only_the_models_name_is_changed_in_what_is_sent(passing, body):
    platform, provider = passing
    provider.answers({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]})
    answer = await (await platform.http()).post("/v1/chat/completions", content=body)
    assert answer.status_code == 200
    assert provider.bodies[0] == body.replace(b'"model/m"', b'"gpt-up"')


async def test_a_name_below_is_left_alone_and_none_is_smuggled_past(passing):
    platform, provider = passing
    provider.answers({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]})
    http = await platform.http()
    nested = {"model": "model/m", "messages": QUESTION, "metadata": {"model": "mine"}}
    escaped = b'{"mod\\u0065l":"model/m","messages":[{"role":"user","content":"x"}],"a":{"model":"model/m"}}'
    for content in (json.dumps(nested).encode(), escaped):
        assert (await http.post("/v1/chat/completions", content=content)).status_code == 200
        assert json.loads(provider.bodies[-1])["model"] == "gpt-up"
    assert json.loads(provider.bodies[0])["metadata"] == {"model": "mine"}


async def test_usage_is_counted_and_not_shown_to_who_did_not_ask(passing):
    platform, provider = passing
    shown = chunk("Three ") + chunk("o'clock.") + chunk(finish="stop")
    for pieces in ([shown + USAGE + DONE], cut(shown + USAGE + DONE, 11), [shown, USAGE, DONE]):
        provider.streams(*pieces)
        http = await platform.http()
        answer = await http.post("/v1/chat/completions", json={"model": "model/m", "messages": QUESTION, "stream": True})
        assert answer.content == shown + DONE
        assert platform.spans[-1].usage.input_tokens == 7
        assert json.loads(provider.bodies[-1])["stream_options"] == {"include_usage": True}


async def test_a_models_own_parameters_are_added_where_the_request_has_none(tmp_path):
    provider = Provider()
    provider.answers({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]})
    async with listening(provider) as url:
        text = app(url) + "params: {temperature: 0.5, max_tokens: 9}\n"
        async with serving(tmp_path, text) as platform:
            http = await platform.http()
            await http.post("/v1/chat/completions", json={"model": "model/m", "messages": QUESTION})
            await http.post("/v1/chat/completions", json={"model": "model/m", "messages": QUESTION, "temperature": 0})
    first, second = map(json.loads, provider.bodies)
    assert (first["temperature"], first["max_tokens"], second["temperature"]) == (0.5, 9, 0)


async def test_what_has_no_name_here_passes_both_ways(passing):
    platform, provider = passing
    provider.answers(
        {
            "id": "up", "object": "chat.completion", "created": 1, "model": "up-1", "service_tier": "flex",
            "choices": [
                {"index": index, "finish_reason": "stop", "logprobs": None,
                 "message": {"role": "assistant", "content": text, "refusal": None, "reasoning_content": "hm"}}
                for index, text in enumerate(("a", "b"))
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
                      "completion_tokens_details": {"reasoning_tokens": 1}},
        }
    )  # fmt: skip
    client = await platform.client()
    answer = await client.chat.completions.create(
        model="model/m", messages=QUESTION, n=2, service_tier="flex", prediction={"type": "content", "content": "a"},
        parallel_tool_calls=False, extra_body={"top_k": 3},
        tools=[{"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object"}}}],
    )  # fmt: skip
    assert [each.message.content for each in answer.choices] == ["a", "b"]
    assert answer.service_tier == "flex"
    assert answer.choices[0].message.reasoning_content == "hm"
    sent = json.loads(provider.bodies[0])
    assert (sent["n"], sent["service_tier"], sent["top_k"], sent["parallel_tool_calls"]) == (2, "flex", 3, False)
    assert platform.spans[-1].usage.reasoning_tokens == 1


async def test_with_the_header_the_same_is_written_by_us(passing):
    """Through our own form and back: nothing of the answer is lost but its id."""
    platform, provider = passing
    logprobs = {
        "content": [
            {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "a", "logprob": -0.5, "bytes": [97]}]}
        ]
    }
    message = {
        "role": "assistant", "content": None, "refusal": "No.", "reasoning_content": "hm", "annotations": [{"type": "x"}],
        "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                       {"id": "t2", "type": "custom", "custom": {"name": "g", "input": "free"}}],
    }  # fmt: skip
    second = {"role": "assistant", "content": "b", "audio": {"id": "au", "data": "AAA=", "transcript": "b", "expires_at": 9}}
    provider.answers(
        {
            "id": "up", "object": "chat.completion", "created": 1, "model": "up-1", "service_tier": "flex",
            "choices": [
                {"index": 0, "finish_reason": "tool_calls", "logprobs": logprobs, "message": message},
                {"index": 1, "finish_reason": "stop", "logprobs": None, "message": second},
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
                      "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 1},
                      "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 1}},
        }
    )  # fmt: skip
    http = await platform.http()
    body = {"model": "model/m", "messages": QUESTION, "n": 2, "service_tier": "flex"}
    answer = (await http.post("/v1/chat/completions", json=body, headers={"x-tidemill-extended": "1"})).json()
    original = json.loads(provider.pieces[0])
    assert answer["choices"][0]["message"] == message
    assert answer["choices"][1]["message"] == second
    assert [each["logprobs"] for each in answer["choices"]] == [logprobs, None]
    assert (answer["usage"], answer["service_tier"]) == (original["usage"], "flex")
    assert answer["tidemill"]["trace"]


async def test_streams_of_several_answers_are_written_by_us_too(passing):
    platform, provider = passing

    def piece(index, finish=None, **delta):
        value = {"id": "c", "model": "up-1", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}
        return b"data: " + json.dumps(value).encode() + b"\n\n"

    provider.streams(
        piece(0, role="assistant", reasoning_content="hm "), piece(1, content="B"), piece(0, content="A"),
        piece(1, refusal="no"), piece(0, finish="stop"), piece(1, finish="length"), USAGE, DONE,
    )  # fmt: skip
    client = await platform.client()
    heard = {0: "", 1: ""}
    finished, thought, refused = {}, "", ""
    stream = await client.chat.completions.create(
        model="model/m", messages=QUESTION, n=2, stream=True, extra_headers={"x-tidemill-extended": "1"}
    )
    async for each in stream:
        for choice in each.choices:
            heard[choice.index] += choice.delta.content or ""
            thought += getattr(choice.delta, "reasoning_content", None) or ""
            refused += choice.delta.refusal or ""
            finished[choice.index] = choice.finish_reason or finished.get(choice.index)
    assert (heard, thought, refused) == ({0: "A", 1: "B"}, "hm ", "no")
    assert finished == {0: "stop", 1: "length"}


async def test_a_deadline_ends_the_call_and_closes_the_upstream(passing):
    platform, provider = passing
    provider.waits = True
    http = await platform.http()
    provider.streams()
    body = {"model": "model/m", "messages": QUESTION, "stream": True}
    answer = await http.post("/v1/chat/completions", json=body, headers={"x-tidemill-timeout": "0.2"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")
    await asyncio.wait_for(provider.gone.wait(), 5)
    provider.gone.clear()
    provider.streams(chunk("Three "))
    answer = await http.post("/v1/chat/completions", json=body, headers={"x-tidemill-timeout": "400ms"})
    assert answer.content.startswith(chunk("Three "))
    assert b"deadline_exceeded" in answer.content
    await asyncio.wait_for(provider.gone.wait(), 5)
    for wrong in ("never", "-1", "nan", "0"):
        answer = await http.post("/v1/chat/completions", json=body, headers={"x-tidemill-timeout": wrong})
        assert answer.status_code == 400
        assert "x-tidemill-timeout" in answer.json()["error"]["message"]


async def test_who_leaves_stops_the_provider_and_what_came_is_counted(passing):
    platform, provider = passing
    provider.waits = True
    provider.streams(chunk("one two three four five six "))
    http = await platform.http()
    body = {"model": "model/m", "messages": QUESTION, "stream": True}
    async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        await anext(answer.aiter_bytes())
    await asyncio.wait_for(provider.gone.wait(), 5)
    await finished(platform)
    span = platform.spans[-1]
    assert span.status == "error"
    assert span.usage.input_tokens > 0
    assert span.usage.output_tokens > 0
    assert span.attributes["tidemill.estimated"] is True


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"model":"model/m","messages":[],"model":"other"}', "twice"),
        (b'{"model":"model/m","messages":[{"role":"user","content":"a","content":"b"}]}', "twice"),
        (b'{"model":"model/m","messages":[{"role":"user","content":"\xff\xfe"}]}', "not valid JSON"),
        (b'{"model":"model/m","messages":' + b"[" * 5000 + b"]" * 5000 + b"}", "not valid JSON"),
        (b'{"model":"model/m","x":' + b'{"a":' * 990 + b"1" + b"}" * 990 + b',"messages":[]}', "nested"),
        (b'{"a":1,"x":"' + b"y" * 600_000 + b'","a":2}', "twice"),
    ],
)
async def test_what_may_be_read_in_two_ways_is_refused(passing, content, said):
    platform, provider = passing
    answer = await (await platform.http()).post("/v1/chat/completions", content=content)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]
    assert not provider.bodies


@pytest.mark.parametrize(
    ("content_type", "piece"),
    [
        (b"text/html", b"<!doctype html><title>Sign in</title>"),
        (b"application/json", b'{"error":{"message":"overloaded","code":503}}'),
        (b"application/json", b"[1]"),
        (b"text/event-stream", b'data: {"error":{"message":"no room","code":503}}\n\n'),
        (b"text/event-stream", b'data: {"choices":[{"del'),
        (b"text/event-stream", b""),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_success_that_is_none_is_told_as_what_it_is(passing, content_type, piece, stream):
    platform, provider = passing
    provider.pieces, provider.content_type = [piece], content_type
    http = await platform.http()
    answer = await http.post("/v1/chat/completions", json={"model": "model/m", "messages": QUESTION, "stream": stream})
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "server_error"
    assert platform.spans[-1].status == "error"


async def test_an_error_within_a_stream_is_the_providers_own(passing):
    platform, provider = passing
    provider.streams(chunk("Three "), b'data: {"error":{"message":"no room","code":503}}\n\n')
    provider.heard = asyncio.Event()
    client = await platform.client()
    heard = []

    async def listen():
        stream = await client.chat.completions.create(model="model/m", messages=QUESTION, stream=True)
        async for each in stream:
            heard.append(each.choices[0].delta.content or "")
            provider.heard.set()

    with pytest.raises(openai.APIError, match="no room"):
        await listen()
    assert "".join(heard) == "Three "
    await finished(platform)
    assert platform.spans[-1].status == "error"


async def test_no_credential_goes_up_and_what_belongs_to_the_dialect_does(passing):
    platform, provider = passing
    provider.answers({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]})
    http = await platform.http()
    headers = {"openai-beta": "x=1", "x-tidemill-user": "anna", "cookie": "a=b"}
    await http.post("/v1/chat/completions", json={"model": "model/m", "messages": QUESTION}, headers=headers)
    sent = provider.headers[0]
    assert sent["openai-beta"] == "x=1"
    assert not {"cookie", "x-tidemill-user", "authorization"} & set(sent)
