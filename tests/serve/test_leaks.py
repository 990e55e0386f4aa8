"""What is a client's own does not reach a provider, and what is ours does not reach a client; nobody fetches what is named."""

from __future__ import annotations

import contextlib
import os

import orjson
import pytest

from serve.platform import listening, serving, whole_body
from serve.sockets import CLOSE, platform_at, post, say

pytestmark = pytest.mark.anyio

ASK = [{"role": "user", "content": "?"}]
DOORS = {
    "/v1/chat/completions": {"messages": ASK},
    "/v1/messages": {"messages": ASK, "max_tokens": 9},
    "/v1/responses": {"input": "?"},
    "/v1/embeddings": {"input": "?"},
}
OWN = {
    "x-api-key": "client-secret", "api-key": "client-secret", "x-goog-api-key": "client-secret",
    "cookie": "tidemill_session=client-secret", "proxy-authorization": "Basic client-secret",
    "x-tidemill-user": "client-secret", "x-forwarded-for": "10.1.2.3", "forwarded": "for=10.1.2.3", "te": "trailers",
    "connection": "close, x-hop", "x-hop": "client-secret", "keep-alive": "client-secret", "upgrade": "client-secret",
    "trailer": "x-hop", "referer": "http://client-secret/", "origin": "http://client-secret", "user-agent": "client-secret",
    "accept-language": "client-secret", "x-amz-security-token": "client-secret", "host": "127.0.0.1",
    "openai-organization": "client-secret", "openai-project": "client-secret", "content-encoding": "identity",
}  # fmt: skip
EXPECTED = {"host", "user-agent", "accept", "accept-encoding", "content-type", "content-length", "authorization", "x-api-key"}
DIALECT = {"openai-beta", "idempotency-key", "x-client-request-id", "anthropic-beta", "anthropic-version"}


class Provider:
    """Keeps the heads of what it is asked, and answers in either dialect with headers of its own account."""

    def __init__(self) -> None:
        self.heads: list[dict[str, str]] = []
        self.paths: list[str] = []

    async def __call__(self, scope, receive, send):
        await whole_body(receive)
        self.heads.append({name.decode(): value.decode("latin-1") for name, value in scope["headers"]})
        self.paths.append(scope["path"])
        if scope["path"].endswith("/embeddings"):
            answer = {"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 1}}
        elif scope["path"].endswith("/messages"):
            answer = {
                "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "yes"}],
                "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1},
            }  # fmt: skip
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
            answer = {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
        own = [
            (b"content-type", b"application/json"), (b"set-cookie", b"account-secret=1"),
            (b"openai-organization", b"account-secret"),
            (b"x-ratelimit-remaining-requests", b"4711"), (b"x-request-id", b"req-1"), (b"connection", b"keep-alive, x-own"),
            (b"x-own", b"account-secret"), (b"server", b"account-secret"), (b"location", b"http://account-secret/"),
        ]  # fmt: skip
        await send({"type": "http.response.start", "status": 200, "headers": own})
        await send({"type": "http.response.body", "body": orjson.dumps(answer)})


def app(url, provider):
    return f"""
{{kind: connection, name: c, provider: {provider}, base_url: "{url}/v1", allow_private: true, api_key: "env:OUR_KEY"}}
---
{{kind: model, name: m, provider: {provider}, model: m, connection: c}}
"""


@pytest.mark.parametrize(
    ("path", "provider"),
    [
        *((path, "openai") for path in DOORS),
        *((path, "anthropic") for path in DOORS if path != "/v1/embeddings"),  # it has no vectors
    ],
)
async def test_nothing_of_a_client_reaches_a_provider_and_nothing_of_ours_a_client(tmp_path, monkeypatch, path, provider):
    monkeypatch.setenv("OUR_KEY", "account-secret")
    upstream = Provider()
    async with listening(upstream) as url, platform_at(tmp_path, app(url, provider)) as (_, port, key):
        heads = [f"{name}: {value}\r\n".encode() for name, value in OWN.items() if name != "host"]
        dialect = [f"{name}: said\r\n".encode() for name in sorted(DIALECT)]
        body = orjson.dumps({"model": "model/m", **DOORS[path]})
        heard = await say(port, post(path, body, key, *heads, *dialect))
        assert heard.statuses == [200], heard.raw
    (head,) = upstream.heads
    secret = key.decode().split("Bearer ")[1].strip()
    for name, value in head.items():
        assert "client-secret" not in value, name
        assert secret not in value, name
        assert "10.1.2.3" not in value, name
    assert set(head) <= EXPECTED | DIALECT
    assert head["host"].startswith("127.0.0.1:")
    assert "account-secret" in (head.get("authorization", "") + head.get("x-api-key", ""))
    lines = heard.raw.partition(b"\r\n\r\n")[0].decode().lower()
    assert "account-secret" not in lines
    assert "4711" not in lines


@pytest.mark.parametrize("value", [b"a\tb", b"\xe9", b"a" * 7000, b"(),/:;<=>?@[]{}"])
async def test_a_header_that_passes_is_one_header(tmp_path, monkeypatch, value):
    monkeypatch.setenv("OUR_KEY", "account-secret")
    upstream = Provider()
    async with listening(upstream) as url, platform_at(tmp_path, app(url, "openai")) as (_, port, key):
        body = orjson.dumps({"model": "model/m", "messages": ASK})
        heard = await say(port, post("/v1/chat/completions", body, key, CLOSE, b"openai-beta: " + value + b"\r\n"))
        assert heard.statuses == [200], heard.raw
    assert set(upstream.heads[0]) <= EXPECTED | DIALECT


IMAGES = {
    "openai": True, "anthropic": True, "gemini": True, "bedrock": False, "ollama": False, "cohere": True, "replicate": True,
    "watsonx": True, "mistral": True, "groq": True, "vllm": True,
}  # fmt: skip
"""Whether a provider takes a picture by its address, and fetches it itself."""


@pytest.mark.parametrize("provider", IMAGES)
async def test_nobody_here_fetches_what_a_message_names(tmp_path, monkeypatch, provider):
    """An address in a message goes to the provider as it is, or is refused: no request of ours is made of it."""
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(
        "OUR_KEY", '{"aws_access_key_id": "a", "aws_secret_access_key": "b"}' if provider == "bedrock" else "secret"
    )
    canary, upstream = Provider(), Provider()
    async with listening(canary) as inside, listening(upstream) as url, serving(tmp_path, app(url, provider)) as platform:
        http = await platform.http()
        for address in (
            f"{inside}/private.png",
            "file:///etc/passwd",
            "http://169.254.169.254/latest/meta-data",
            "gopher://x/1",
        ):
            parts = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": address}}]
            body = {"model": "model/m", "max_tokens": 9, "messages": [{"role": "user", "content": parts}]}
            with contextlib.suppress(TimeoutError):
                answer = await http.post("/v1/chat/completions", json=body, headers={"x-tidemill-timeout": "2"})
            assert "root:" not in answer.text
            assert answer.json().get("error", {}).get("code") != "internal", answer.text
        assert not canary.paths
    if not IMAGES[provider]:
        assert not upstream.paths, "it is refused before anything is asked"
