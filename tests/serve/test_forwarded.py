"""Pictures, sound, verdicts and ranks: passed to a provider of the dialect as they are written."""

import contextlib
import json

import openai
import pytest
from aiohttp import web

from serve.platform import serving

pytestmark = pytest.mark.anyio

APP = """
kind: connection
name: openai
provider: openai
base_url: {url}/v1
allow_private: true
---
kind: model
name: maker
provider: openai
model: real-name
---
kind: model
name: echo
provider: test
"""
VERDICT = {
    "id": "modr-1", "model": "real-name",
    "results": [{"flagged": True, "categories": {"violence": True}, "category_scores": {"violence": 0.9}}],
}  # fmt: skip


@contextlib.asynccontextmanager
async def upstream(*answers):
    """A server that answers each path with bytes of a type, and keeps what it was asked."""
    seen = []

    def answering(content, content_type):
        async def answer(request):
            seen.append((request.path, request.headers["content-type"], await request.read()))
            response = web.StreamResponse(headers={"content-type": content_type})
            await response.prepare(request)
            for start in range(0, len(content), 7):
                await response.write(content[start : start + 7])
            return response

        return answer

    app = web.Application()
    for path, content, content_type in answers:
        app.router.add_post(path, answering(content, content_type))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}", seen
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def over(tmp_path, *answers):
    async with upstream(*answers) as (url, seen), serving(tmp_path, APP.format(url=url)) as platform:
        yield platform, await platform.client(), seen


async def test_verdicts_and_pictures_pass_through(tmp_path):
    picture = {"created": 1, "data": [{"b64_json": "aGk="}]}
    async with over(
        tmp_path,
        ("/v1/moderations", json.dumps(VERDICT).encode(), "application/json"),
        ("/v1/images/generations", json.dumps(picture).encode(), "application/json"),
    ) as (platform, api, seen):
        verdict = await api.moderations.create(model="model/maker", input="I will hurt you")
        assert verdict.results[0].flagged
        made = await api.images.generate(model="model/maker", prompt="a mill", n=1, extra_body={"unheard_of": 1})
        assert made.data[0].b64_json == "aGk="
        sent = [json.loads(body) for _, _, body in seen]
        assert [each["model"] for each in sent] == ["real-name", "real-name"]
        assert sent[1]["unheard_of"] == 1
        assert len(platform.roots) == 2


async def test_speech_comes_as_it_is_made(tmp_path):
    sound = bytes(range(256)) * 40
    async with over(tmp_path, ("/v1/audio/speech", sound, "audio/mpeg")) as (_, api, seen):
        async with api.audio.speech.with_streaming_response.create(
            model="model/maker", voice="alloy", input="high water"
        ) as got:
            assert got.headers["content-type"] == "audio/mpeg"
            assert await got.read() == sound
        assert b'"real-name"' in seen[0][2]


async def test_a_recording_goes_to_the_provider_byte_for_byte(tmp_path):
    recording = b"RIFF\r\n\r\n--not a boundary\r\n" + bytes(range(256))
    async with over(tmp_path, ("/v1/audio/transcriptions", b'{"text": "high water"}', "application/json")) as (_, api, seen):
        answer = await api.audio.transcriptions.create(model="model/maker", file=("a.wav", recording), language="en")
        assert answer.text == "high water"
        _, content_type, body = seen[0]
        assert content_type.startswith("multipart/form-data; boundary=")
        assert recording in body
        assert b"\r\n\r\nreal-name\r\n" in body
        assert b"model/maker" not in body


@pytest.mark.parametrize("path", ["moderations", "images/generations", "audio/speech", "rerank"])
async def test_a_model_whose_provider_has_nothing_of_the_kind_is_refused(tmp_path, path):
    async with serving(tmp_path, APP.format(url="http://127.0.0.1:1")) as platform:
        http = await platform.http()
        asked = {"model": "model/echo", "input": "x", "prompt": "x", "query": "x", "documents": ["x"], "voice": "alloy"}
        answer = await http.post(f"/v1/{path}", json=asked)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "model"


async def test_a_form_that_is_broken_is_refused(tmp_path):
    async with serving(tmp_path, APP.format(url="http://127.0.0.1:1")) as platform:
        api, http = await platform.client(), await platform.http()
        with pytest.raises(openai.BadRequestError):
            await api.audio.transcriptions.create(model="", file=("a.wav", b"x"))
        head = {"content-type": "multipart/form-data; boundary=x"}
        part = b'--x\r\ncontent-disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
        model, file = part % (b"model", b"", b"model/echo"), part % (b"file", b'; filename="a"', b"x")
        for body in (
            b"",
            b"--x",
            model,
            model + file,
            model + model + file + b"--x--\r\n",
            file + b"--x--\r\n",
            model + b"--x--",
        ):
            answer = await http.post("/v1/audio/transcriptions", content=body, headers=head)
            assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error"), body
        answer = await http.post("/v1/audio/transcriptions", json={"model": "model/echo"})
        assert answer.status_code == 400
