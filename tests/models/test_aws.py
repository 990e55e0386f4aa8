"""Signatures and frames of AWS, by its own published test suite and by what it once sent."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from models.replay.rows import FOLDER, rows
from tidemill.core.chat import ChatRequest, Connection, Secret
from tidemill.core.clock import FixedClock
from tidemill.core.errors import Denied, RateLimited, Unavailable
from tidemill.core.parts import Message
from tidemill.models.providers.aws_events import Frame, FrameReader, write_frame
from tidemill.models.providers.aws_keys import authorised, region_of
from tidemill.models.providers.aws_signature import AwsCredentials, sign
from tidemill.models.providers.bedrock import BedrockChat

HOST = "https://example.amazonaws.com"
KEY = AwsCredentials(access_key="AKIDEXAMPLE", secret_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
WHEN = datetime(2015, 8, 30, 12, 36, 0, tzinfo=UTC)
ALL = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("name", "method", "path", "headers", "body", "signature"),
    [
        ("get-vanilla", "GET", "/", {}, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("post-vanilla", "POST", "/", {}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", {}, b"",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "get-header-value-trim", "GET", "/", {"My-Header1": " value1", "My-Header2": ' "a   b   c"'}, b"",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        (
            "post-x-www-form-urlencoded", "POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}, b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        ("get-unreserved", "GET", f"/{ALL}", {}, b"", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
        ("get-utf8", "GET", "/ሴ", {}, b"", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        ("get-space", "GET", "/example space/", {}, b"", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
        ("get-slashes", "GET", "//example//", {}, b"", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
        ("get-relative", "GET", "/example/..", {}, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ],
)  # fmt: skip
def test_signatures_are_those_of_the_published_suite(name, method, path, headers, body, signature):
    signed = sign(
        method, HOST + path, headers=headers, body=body, credentials=KEY, region="us-east-1", service="service", now=WHEN
    )
    assert signed["authorization"].endswith(f"Signature={signature}"), name
    assert signed["x-amz-date"] == "20150830T123600Z"


@given(st.lists(st.tuples(st.dictionaries(st.text("abc:-", min_size=1, max_size=9), st.text(max_size=9)), st.binary())))
def test_frames_are_read_as_they_were_written(frames):
    content = b"".join(write_frame(headers, payload) for headers, payload in frames)
    wanted = [Frame(headers=headers, payload=payload) for headers, payload in frames]
    for size in (1, 7, len(content) or 1):
        reader = FrameReader()
        found = [frame for start in range(0, len(content), size) for frame in reader.feed(content[start : start + size])]
        reader.end()
        assert found == wanted


@given(st.binary(min_size=1), st.data())
def test_a_frame_with_one_changed_byte_is_noticed(payload, data):
    content = bytearray(write_frame({":event-type": "chunk"}, payload))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Unavailable, match="cannot be read"):
        read(bytes(content))


def read(content: bytes) -> None:
    reader = FrameReader()
    reader.feed(content)
    reader.end()


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recordings at {FOLDER}")
def test_every_recorded_frame_is_whole():
    streams = [row for row in rows("bedrock") if row["response_encoding"] == "base64"]
    assert len(streams) > 20
    for row in streams:
        reader = FrameReader()
        frames = reader.feed(base64.b64decode(row["response"]))
        reader.end()
        assert frames, row["id"]
        assert all(frame.headers[":message-type"] == "event" for frame in frames), row["id"]


def at(tmp_path, secret: str, **options) -> Connection:
    file = tmp_path / "key"
    file.write_text(secret)
    return Connection(name="b", provider="bedrock", api_key=Secret(reference=f"file:{file}"), options=options)


def ask(connection: Connection) -> tuple[dict[str, str], str]:
    url = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/a%3A0/converse"
    return authorised(url, b"{}", {}, connection, service="bedrock", clock=FixedClock())


def test_a_file_of_credentials_signs_by_its_profile(tmp_path):
    text = "[default]\naws_access_key_id = AK1\naws_secret_access_key = s1\n"
    text += "[work]\naws_access_key_id=AK2\naws_secret_access_key=s2\naws_session_token = t2\n"
    headers, secret = ask(at(tmp_path, text, region="eu-west-1"))
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AK1/20250615/eu-west-1/bedrock/aws4_request")
    assert secret == "s1"
    headers, secret = ask(at(tmp_path, text, profile="work"))
    assert (headers["x-amz-security-token"], secret) == ("t2", "s2")


def test_a_key_of_bedrock_is_sent_as_it_is(tmp_path):
    headers, secret = ask(at(tmp_path, "ABSK-key"))
    assert (headers["authorization"], secret) == ("Bearer ABSK-key", "ABSK-key")


def test_the_environment_is_read_only_for_aws_itself(monkeypatch):
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK3")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3")
    assert ask(Connection(name="b", provider="bedrock"))[1] == "s3"
    with pytest.raises(Denied, match="no key of AWS"):
        ask(Connection(name="b", provider="bedrock", base_url="https://elsewhere.example"))


def test_what_is_no_key_is_said(tmp_path):
    for secret in ("{}", "[default]\nregion = x\n", "{broken"):
        with pytest.raises(Denied, match="no key of AWS"):
            ask(at(tmp_path, secret))


def test_regions(monkeypatch):
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    bare = Connection(name="b", provider="bedrock")
    assert region_of(bare) == "us-east-1"
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert region_of(bare) == "eu-north-1"
    there = "https://bedrock-runtime.ap-south-1.amazonaws.com"
    assert region_of(Connection(name="b", provider="bedrock", base_url=there)) == "ap-south-1"


class Aws:
    """Checks what arrives by the signature that it carries, as AWS does, and answers with frames."""

    def __init__(self) -> None:
        self.url = ""
        self.wrong: list[str] = []
        self.frames = b""

    async def handle(self, request: web.Request) -> web.Response:
        given = request.headers["authorization"]
        names = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        headers = {name: request.headers[name] for name in names if name not in {"x-amz-date", "x-amz-security-token"}}
        when = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        secret = AwsCredentials(access_key="AK1", secret_key="s1", session_token="t1")
        wanted = sign(
            "POST", f"{self.url}{request.raw_path}", headers=headers, body=await request.read(), credentials=secret,
            region="eu-west-1", service="bedrock", now=when,
        )  # fmt: skip
        if wanted["authorization"] != given:
            self.wrong.append(given)
            return web.json_response({"message": "The request signature we calculated does not match"}, status=403)
        return web.Response(body=self.frames, content_type="application/vnd.amazon.eventstream")


def frame(name: str, payload: bytes, kind: str = "event") -> bytes:
    return write_frame({":event-type" if kind == "event" else ":exception-type": name, ":message-type": kind}, payload)


async def listen(tmp_path, aws: Aws) -> str:
    key = "[default]\naws_access_key_id=AK1\naws_secret_access_key=s1\naws_session_token=t1\n"
    (tmp_path / "key").write_text(key)
    connection = Connection(
        name="b", provider="bedrock", base_url=aws.url, api_key=Secret(reference=f"file:{tmp_path / 'key'}"),
        allow_private=True, options={"region": "eu-west-1"}, headers={"X-Own": "a  b"},
    )  # fmt: skip
    request = ChatRequest(model="us.anthropic.claude-v1:0", messages=(Message.of("user", "grüß dich"),))
    provider = BedrockChat()
    try:
        return "".join([delta.text async for delta in provider.stream(request, connection=connection)])
    finally:
        await provider.close()


@pytest.fixture
async def aws():
    made = Aws()
    app = web.Application()
    app.router.add_post("/{path:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.mark.anyio
async def test_what_arrives_is_what_was_signed(tmp_path, aws):
    aws.frames = frame("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"hi"}}')
    aws.frames += frame("messageStop", b'{"stopReason":"end_turn"}') + frame("metadata", b'{"usage":{"inputTokens":1}}')
    assert await listen(tmp_path, aws) == "hi"
    assert not aws.wrong


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("frames", "kind", "words"),
    [
        (frame("throttlingException", b'{"message":"slow down"}', "exception"), RateLimited, "slow down"),
        (frame("modelStreamErrorException", b'{"message":"odd"}', "exception"), Unavailable, "odd"),
        (frame("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"a"}}'), Unavailable, "ended early"),
        (frame("contentBlockDelta", b"{}")[:-2], Unavailable, "ended within a frame"),
    ],
)
async def test_what_goes_wrong_within_a_stream_is_named(tmp_path, aws, frames, kind, words):
    aws.frames = frames
    with pytest.raises(kind, match=words):
        await listen(tmp_path, aws)
