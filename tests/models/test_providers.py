"""What providers do beside what was recorded: keys, addresses, what they refuse, and upstreams that behave badly."""

from __future__ import annotations

import json

import pytest
from aiohttp import web

from models.upstream import answering, completion, serve_upstream, writing
from tidemill.core.chat import ChatRequest, Secret, ToolDefinition
from tidemill.core.clock import FixedClock
from tidemill.core.errors import Denied, Invalid, RateLimited, TidemillError, Unavailable
from tidemill.core.extend import extension_names, load_extension
from tidemill.core.parts import Image, Message, Reasoning, Text, ToolCall, ToolResult
from tidemill.models.kinds import ConnectionKind
from tidemill.models.params import mapped
from tidemill.models.providers.compatible import CHAT, ROWS
from tidemill.models.providers.watsonx import WatsonxChat

pytestmark = pytest.mark.anyio


@pytest.fixture
async def upstream(monkeypatch):
    monkeypatch.setenv("A_KEY", "sk-some-key")
    async with serve_upstream() as server:
        yield server


def at(upstream, provider: str, **fields):
    return upstream.connection(provider, **{"api_key": Secret(reference="env:A_KEY"), **fields})


async def talk(provider, request, connection):
    try:
        return await provider.chat(request, connection=connection)
    finally:
        await provider.close()


async def listen(provider, request, connection):
    try:
        return [delta async for delta in provider.stream(request, connection=connection)]
    finally:
        await provider.close()


def request(model: str = "m", **fields) -> ChatRequest:
    return ChatRequest(model=model, messages=(Message.of("user", "hi"),), **fields)


def test_every_provider_can_be_made():
    for group in ("chat_providers", "embed_providers"):
        for name in extension_names(group):
            assert load_extension(group, name)().name == name


def connection(**body):
    return ConnectionKind().parse(body, files=None)


def test_a_connection_of_every_provider_is_checked():
    for name in set(extension_names("chat_providers")) | set(extension_names("embed_providers")):
        example = getattr(load_extension("chat_providers", name), "needs_base_url", "")
        if example:
            with pytest.raises(Invalid, match="needs base_url"):
                connection(provider=name)
        made = connection(provider=name, **({"base_url": example} if example else {}))
        assert made.spec["provider"] == name


@pytest.mark.parametrize(
    ("body", "message", "hint"),
    [
        ({"provider": "bedrok"}, "'bedrok' is not known", "bedrock"),
        ({"provider": "bedrock", "options": {"regoin": "x"}}, "reads no option 'regoin'", "region"),
        ({"provider": "groq", "options": {"region": "x"}}, "reads no option 'region'", "no options"),
        ({"provider": "azure"}, "needs base_url", "openai.azure.com"),
    ],
)
def test_what_a_connection_cannot_say_is_said_at_once(body, message, hint):
    with pytest.raises(Invalid) as caught:
        connection(**body)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_options_are_kept():
    assert connection(provider="vertex", options={"project": "p"}).spec["options"] == {"project": "p"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_every_row_asks_as_its_server_wants_it(upstream, row):
    upstream.behave = answering((200, completion(), {}))
    made = getattr(CHAT, row.name.replace("-", "_"))()
    response = await talk(made, request(params={"max_tokens": 5, "seed": 1, "store": True}), at(upstream, row.name))
    assert response.message.text == "hello"
    key = upstream.headers[0][row.header]
    assert key == f"{row.word}sk-some-key"
    assert upstream.paths == [f"/v1{row.paths.get('/chat/completions', '/chat/completions')}"]
    assert not row.lacks & upstream.bodies[0].keys()


async def test_what_a_seller_lacks_is_refused_before_anything_is_sent(upstream):
    with pytest.raises(Invalid, match="groq has no logprobs"):
        await talk(CHAT.groq(), request(params={"logprobs": True}), at(upstream, "groq"))
    schema = {"type": "object", "properties": {}}
    with pytest.raises(Invalid, match="takes no schema"):
        await talk(CHAT.deepseek(), request(output_schema=schema), at(upstream, "deepseek"))
    assert upstream.calls == 0


async def test_a_stream_is_asked_for_without_what_a_seller_does_not_know(upstream):
    chunk = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}], "model": "m"}
    upstream.behave = writing(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode())
    deltas = await listen(CHAT.mistral(), request(params={"seed": 3}), at(upstream, "mistral"))
    assert "".join(each.text for each in deltas) == "a"
    assert (upstream.bodies[0]["random_seed"], upstream.bodies[0]["stream"]) == (3, True)
    assert not {"seed", "stream_options"} & set(upstream.bodies[0])


async def test_azure_by_deployment_by_its_newer_address_and_by_a_token(upstream):
    upstream.behave = answering((200, completion(), {}))
    make = load_extension("chat_providers", "azure")
    limits = {"max_tokens": 5}
    await talk(make(), request("gpt", params=limits), at(upstream, "azure", base_url=upstream.url))
    assert upstream.paths[-1] == "/openai/deployments/gpt/chat/completions"
    assert upstream.headers[-1]["api-key"] == "sk-some-key"
    assert "authorization" not in upstream.headers[-1]
    assert upstream.bodies[-1]["max_tokens"] == 5
    newer = at(upstream, "azure", base_url=f"{upstream.url}/openai/v1", options={"auth": "entra"})
    await talk(make(), request("gpt", params=limits), newer)
    assert upstream.paths[-1] == "/openai/v1/chat/completions"
    assert upstream.headers[-1]["authorization"] == "Bearer sk-some-key"
    assert upstream.bodies[-1]["max_completion_tokens"] == 5


async def test_gemini_says_why_it_blocked_a_prompt(upstream):
    upstream.behave = answering((200, {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {}}, {}))
    make = load_extension("chat_providers", "gemini")
    with pytest.raises(Invalid, match="blocked: SAFETY") as caught:
        await talk(make(), request(), at(upstream, "gemini"))
    assert caught.value.kind == "content_filter"
    assert upstream.headers[0]["x-goog-api-key"] == "sk-some-key"


async def test_gemini_says_in_its_body_how_long_to_wait_and_that_a_key_is_wrong(upstream):
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "21.5s"}]
    upstream.behave = answering((429, {"error": {"code": 429, "message": "quota", "details": details}}, {}))
    with pytest.raises(RateLimited) as caught:
        await talk(load_extension("chat_providers", "gemini")(), request(), at(upstream, "gemini"))
    assert caught.value.retry_after == 21.5
    upstream.behave = answering((400, {"error": {"code": 400, "message": "API key not valid. Pass a valid one."}}, {}))
    with pytest.raises(Denied) as refused:
        await talk(load_extension("chat_providers", "gemini")(), request(), at(upstream, "gemini"))
    assert refused.value.kind == "auth"


async def test_gemini_takes_back_its_own_seals_and_calls_that_were_made_elsewhere(upstream):
    upstream.behave = answering((500, {}, {}))
    calls = [ToolCall(id=f"c{index}", name="f", arguments="{}") for index in range(3)]
    messages = (
        Message.of("user", "go"),
        Message(role="assistant", parts=(Reasoning(text="hm", signature="gemini:seal"), calls[0])),
        Message(role="tool", parts=(ToolResult(id="c0", content="plain"),)),
        Message(role="assistant", parts=(Reasoning(text="hm", signature="anthropic's"), calls[1], calls[2])),
        Message(role="tool", parts=(ToolResult(id="c1", content='{"a": 1}'), ToolResult(id="c2", content="no", is_error=True))),
    )
    for model, sealed in (("gemini-3-pro", "skip_thought_signature_validator"), ("gemini-2.5-pro", None)):
        with pytest.raises(Unavailable):
            await talk(
                load_extension("chat_providers", "gemini")(),
                ChatRequest(model=model, messages=messages),
                at(upstream, "gemini"),
            )
        turns = [each["parts"] for each in upstream.bodies[-1]["contents"]]
        assert turns[1][0] == {"text": "hm", "thought": True}
        assert turns[1][1]["thoughtSignature"] == "seal"
        assert turns[2][0]["functionResponse"] == {"id": "c0", "name": "f", "response": {"result": "plain"}}
        assert [each.get("thoughtSignature") for each in turns[3] if "functionCall" in each] == [sealed, None]
        assert [each["functionResponse"]["response"] for each in turns[4]] == [{"a": 1}, {"error": "no"}]


@pytest.mark.parametrize("provider", ["gemini", "cohere", "ollama", "bedrock", "anthropic", "watsonx", "vertex"])
@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", b'data: {"half', b'{"half\n', b"data: []\n\n", b"\xff\xfe\x00", b'{"a": 1}\n{"b": 2}\n', b"\x00" * 40],
)
async def test_garbage_for_a_stream_is_an_error_of_ours(upstream, provider, content, monkeypatch):
    monkeypatch.setenv("A_KEY", "ey-token")
    upstream.behave = writing(content)
    options = {"vertex": {"project": "p"}}.get(provider, {})
    with pytest.raises(Unavailable) as caught:
        await listen(load_extension("chat_providers", provider)(), request(), at(upstream, provider, options=options))
    assert caught.value.kind


@pytest.mark.parametrize(
    "provider", ["gemini", "cohere", "ollama", "bedrock", "anthropic", "watsonx", "vertex", "sagemaker", "replicate"]
)
@pytest.mark.parametrize("body", [{}, {"error": {"message": "odd"}}, {"choices": []}, [], "text", 3, None])
async def test_an_odd_answer_is_an_error_of_ours(upstream, provider, body, monkeypatch):
    monkeypatch.setenv("A_KEY", "ey-token")

    async def behave(asked, _body):
        return web.json_response(body)

    upstream.behave = behave
    options = {"vertex": {"project": "p"}}.get(provider, {})
    with pytest.raises(TidemillError):
        await talk(load_extension("chat_providers", provider)(), request(), at(upstream, provider, options=options))


def test_parameters_without_a_word_are_left_out_refused_or_dropped():
    names = {"temperature": "heat"}
    assert mapped({"temperature": 1, "seed": 3, "own": 4, "n": 1, "logprobs": False}, names, provider="p") == {
        "heat": 1,
        "own": 4,
    }
    with pytest.raises(Invalid, match="p has no n"):
        mapped({"n": 2}, names, provider="p")
    assert mapped({"n": 2, "provider_options": {"unsupported": "drop"}}, names, provider="p") == {}


class Replicate:
    """A prediction that takes a while, and one that streams."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.looks = 0
        self.input: dict = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        urls = {"get": f"{self.url}/v1/predictions/p", "stream": f"{self.url}/stream/p"}
        made = {"id": "p", "model": "meta/llama", "status": "processing", "output": None, "error": None, "urls": urls}
        if request.method == "POST":
            self.input = (await request.json())["input"]
            return web.json_response(made, status=201)
        if request.path.startswith("/stream"):
            events = (
                "event: output\nid: 1\ndata: Hel\n\n: hi\n\nevent: output\ndata: lo\ndata: there\n\nevent: done\ndata: {}\n\n"
            )
            return web.Response(body=events.encode(), content_type="text/event-stream")
        self.looks += 1
        if self.looks == 1:
            return web.json_response(made)
        metrics = {"input_token_count": 3, "output_token_count": 2}
        return web.json_response({**made, "status": "succeeded", "output": ["Hel", "lo"], "metrics": metrics})


@pytest.fixture
async def replicate():
    app = web.Application()
    made = Replicate("")
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def test_replicate_is_waited_for_and_streamed(replicate, upstream):
    make = load_extension("chat_providers", "replicate")
    where = at(upstream, "replicate", base_url=f"{replicate.url}/v1")
    turns = (
        Message.of("system", "be brief"),
        Message.of("user", "hi"),
        Message.of("assistant", "yes?"),
        Message.of("user", "go"),
    )
    answer = await talk(make(), ChatRequest(model="meta/llama", messages=turns), where)
    assert (answer.message.text, answer.usage.input_tokens, answer.usage.output_tokens) == ("Hello", 3, 2)
    assert replicate.input == {"prompt": "User: hi\n\nAssistant: yes?\n\nUser: go\n\nAssistant:", "system_prompt": "be brief"}
    deltas = await listen(make(), request("meta/llama"), where)
    assert "".join(each.text for each in deltas) == "Hello\nthere"
    assert deltas[-1].finish_reason == "stop"


async def test_replicate_does_not_take_the_key_elsewhere(upstream):
    made = {"status": "processing", "urls": {"get": "https://evil.example/p"}}
    upstream.behave = answering((201, made, {}))
    with pytest.raises(Unavailable, match=r"pointed to .*evil\.example"):
        await talk(load_extension("chat_providers", "replicate")(), request(), at(upstream, "replicate"))


async def test_replicate_says_what_it_cannot(upstream):
    make = load_extension("chat_providers", "replicate")
    with pytest.raises(Invalid, match="no tools"):
        await talk(make(), request(tools=(ToolDefinition(name="f"),)), at(upstream, "replicate"))


async def test_watsonx_exchanges_its_key_for_a_token(upstream):
    async def behave(asked, body):
        return web.json_response({**completion(), "model_id": body["model_id"]})

    async def token(request: web.Request) -> web.Response:
        tokens.append(await request.text())
        return web.json_response({"access_token": "ey-made", "expires_in": 3600})

    tokens: list[str] = []
    upstream.behave = behave
    app = web.Application()
    app.router.add_post("/token", token)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
        where = at(upstream, "watsonx", base_url=upstream.url, options={"token_url": url, "project_id": "p"})
        clock = FixedClock()
        made = WatsonxChat(clock=clock)
        for seconds in (0, 100, 3600):
            clock.advance(seconds=seconds)
            assert (await made.chat(request("granite"), connection=where)).message.text == "hello"
        await made.close()
    finally:
        await runner.cleanup()
    assert len(tokens) == 2
    assert "apikey=sk-some-key" in tokens[0]
    assert upstream.headers[0]["authorization"] == "Bearer ey-made"
    assert (upstream.bodies[0]["model_id"], upstream.bodies[0]["project_id"]) == ("granite", "p")
    assert upstream.paths[0] == "/ml/v1/text/chat"


async def test_pictures_go_to_each_in_its_own_form(upstream):
    picture = Image(media_type="image/png", data="AAAA")
    asked = ChatRequest(model="m", messages=(Message(role="user", parts=(Text(text="look"), picture)),))
    upstream.behave = answering((500, {}, {}))
    wanted = {
        "gemini": '{"inlineData":{"mimeType":"image/png","data":"AAAA"}}',
        "bedrock": '{"image":{"format":"png","source":{"bytes":"AAAA"}}}',
        "cohere": '"image_url":{"url":"data:image/png;base64,AAAA"}',
        "ollama": '"images":["AAAA"]',
    }
    for provider, words in wanted.items():
        with pytest.raises(Unavailable):
            await talk(load_extension("chat_providers", provider)(), asked, at(upstream, provider))
        assert words in json.dumps(upstream.bodies[-1], separators=(",", ":"))
    far = Message(role="user", parts=(Image(media_type="image/png", url="https://example.com/a.png"),))
    for provider in ("bedrock", "ollama"):
        with pytest.raises(Invalid):
            await talk(
                load_extension("chat_providers", provider)(), ChatRequest(model="m", messages=(far,)), at(upstream, provider)
            )
