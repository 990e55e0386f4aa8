"""Tokens of Google Cloud, got from a real server with a real key."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from msgspec.structs import replace

from models.calls import ask
from tidemill.core.chat import Connection, Secret
from tidemill.core.clock import FixedClock
from tidemill.core.errors import Denied, Invalid
from tidemill.models.providers.vertex import VertexChat

pytestmark = pytest.mark.anyio

ANSWER = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1},
    "modelVersion": "gemini-2.5-flash",
}


MESSAGE = {
    "type": "message", "model": "claude", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn",
    "usage": {"input_tokens": 2, "output_tokens": 1},
}  # fmt: skip
EVENTS = b"".join(
    b"data: " + json.dumps(each).encode() + b"\n\n"
    for each in (
        {"type": "message_start", "message": {"usage": {"input_tokens": 2}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    )
)


class Google:
    def __init__(self) -> None:
        self.forms: list[dict] = []
        self.seen: list[tuple[str, str]] = []
        self.url = ""
        self.status = 200
        self.body: dict = {}

    async def token(self, request: web.Request) -> web.Response:
        self.forms.append({name: values[0] for name, values in parse_qs((await request.read()).decode()).items()})
        if self.status != 200:
            return web.json_response({"error": "invalid_grant", "error_description": "no"}, status=self.status)
        return web.json_response({"access_token": f"token-{len(self.forms)}", "expires_in": 3600})

    async def model(self, request: web.Request) -> web.Response:
        self.seen.append((request.path, request.headers["authorization"]))
        self.body = await request.json()
        if request.path.endswith(":streamRawPredict"):
            return web.Response(body=EVENTS, content_type="text/event-stream")
        return web.json_response(MESSAGE if request.path.endswith(":rawPredict") else ANSWER)


@pytest.fixture
async def google():
    made = Google()
    app = web.Application()
    app.router.add_post("/token", made.token)
    app.router.add_post("/{path:.*}", made.model)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture(scope="module")
def private() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_file(tmp_path, google, private, **fields) -> str:
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    key = {
        "type": "service_account", "project_id": "my-project", "private_key_id": "k1", "private_key": pem,
        "client_email": "robot@my-project.iam.gserviceaccount.com", "token_uri": f"{google.url}/token", **fields,
    }  # fmt: skip
    file = tmp_path / "key.json"
    file.write_text(json.dumps(key))
    return f"file:{file}"


def connection(google, reference: str, **options) -> Connection:
    return Connection(
        name="v", provider="vertex", base_url=f"{google.url}/v1", api_key=Secret(reference=reference), allow_private=True,
        options=options,
    )  # fmt: skip


def decoded(part: str) -> dict:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def test_a_service_account_signs_for_a_token_and_uses_it_until_its_end(tmp_path, google, private):
    clock = FixedClock()
    vertex = VertexChat(clock=clock)
    at = connection(google, key_file(tmp_path, google, private), location="europe-west4")
    try:
        for seconds in (0, 3000):
            clock.advance(seconds=seconds)
            assert (await vertex.chat(ask("x"), connection=at)).message.text == "hello"
        clock.advance(seconds=600)
        await vertex.chat(ask("x"), connection=at)
    finally:
        await vertex.close()
    assert len(google.forms) == 2
    head, claim, signature = google.forms[0]["assertion"].split(".")
    signed = f"{head}.{claim}".encode()
    made = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    private.public_key().verify(made, signed, padding.PKCS1v15(), hashes.SHA256())
    assert decoded(head) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    said = decoded(claim)
    assert (said["iss"], said["aud"]) == ("robot@my-project.iam.gserviceaccount.com", f"{google.url}/token")
    assert said["exp"] - said["iat"] == 3600
    assert [token for _, token in google.seen] == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]
    assert google.seen[0][0].startswith("/v1/projects/my-project/locations/europe-west4/publishers/google/models/")


async def test_a_token_that_somebody_else_renews_is_taken_as_it_is(tmp_path, google):
    file = tmp_path / "token"
    file.write_text("ya29.given")
    vertex = VertexChat()
    try:
        await vertex.chat(ask("x"), connection=connection(google, f"file:{file}", project="p"))
    finally:
        await vertex.close()
    assert google.seen[0][1] == "Bearer ya29.given"
    assert not google.forms


async def test_a_key_that_google_refuses_is_denied_and_not_shown(tmp_path, google, private):
    google.status = 401
    vertex = VertexChat()
    try:
        with pytest.raises(Denied) as caught:
            await vertex.chat(ask("x"), connection=connection(google, key_file(tmp_path, google, private)))
    finally:
        await vertex.close()
    assert "PRIVATE KEY" not in str(caught.value)


async def test_a_broken_key_says_so(tmp_path, google, private, monkeypatch):
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    vertex = VertexChat()
    try:
        with pytest.raises(Invalid, match="cannot be read"):
            await vertex.chat(ask("x"), connection=connection(google, key_file(tmp_path, google, private, private_key="no")))
        file = tmp_path / "token"
        file.write_text("ya29.given")
        with pytest.raises(Invalid, match="no project"):
            await vertex.chat(ask("x"), connection=connection(google, f"file:{file}"))
    finally:
        await vertex.close()


async def test_models_of_anthropic_answer_in_their_own_words(tmp_path, google):
    file = tmp_path / "token"
    file.write_text("ya29.given")
    vertex, at = VertexChat(), connection(google, f"file:{file}", project="p", location="us-east5")
    asked = replace(ask("x"), model="claude-sonnet-4-5@20250929")
    try:
        assert (await vertex.chat(asked, connection=at)).message.text == "hi"
        assert google.seen[-1][0].endswith(
            "/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict"
        )
        assert (google.body["anthropic_version"], "model" in google.body) == ("vertex-2023-10-16", False)
        deltas = [delta async for delta in vertex.stream(asked, connection=at)]
    finally:
        await vertex.close()
    assert "".join(delta.text for delta in deltas) == "hi"
    assert (deltas[-1].finish_reason, deltas[-1].usage.input_tokens) == ("stop", 2)
    assert google.body["stream"] is True
