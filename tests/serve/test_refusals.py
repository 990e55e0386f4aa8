"""Bad input gets one clear answer, in the shape that chat-completions clients read."""

import openai
import pytest

from serve.platform import serving
from serve.test_chat import APP, QUESTION

pytestmark = pytest.mark.anyio

MODELS = """
kind: model
name: broken
provider: test
script: [{when: ".*", status: 400}]
---
kind: model
name: forbidden
provider: test
script: [{when: ".*", status: 401}]
---
kind: model
name: half
provider: test
script: [{when: ".*", reply: "one two three four five", status: 500, after_tokens: 2}]
---
kind: model
name: busy
provider: test
script: [{when: ".*", status: 429}]
"""


def body(**changes):
    return {"model": "chain/tide", "messages": QUESTION, **changes}


WRONG = {
    "no model": (body(model=None), "model"),
    "model left out": ({"messages": QUESTION}, "model"),
    "no messages": ({"model": "chain/tide"}, ""),
    "empty messages": (body(messages=[]), "messages"),
    "messages of another type": (body(messages="hello"), "messages"),
    "an unknown role": (body(messages=[{"role": "wizard", "content": "x"}]), "messages[0].role"),
    "content of another type": (body(messages=[{"role": "user", "content": 7}]), "messages[0].content"),
    "an empty message": (body(messages=[{"role": "user"}]), "messages[0].content"),
    "two answers": (body(n=2), "n"),
    "temperature as text": (body(temperature="warm"), "temperature"),
    "an unknown part": (body(messages=[{"role": "user", "content": [{"type": "smell"}]}]), "messages[0].content[0]"),
    "an image for a chain": (
        body(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]}]),
        "messages",
    ),
    "tools for a chain": (body(tools=[{"type": "function", "function": {"name": "f"}}]), "tools"),
    "a format for a chain": (body(response_format={"type": "json_object"}), "response_format"),
    "inputs that are none": (body(metadata={"inputs": 7}), "metadata.inputs"),
    "no question": (body(messages=[{"role": "system", "content": "x"}]), "messages"),
    "not an object": ([1, 2], ""),
}


async def test_a_wrong_body_is_refused_with_its_place(tmp_path):
    async with serving(tmp_path, APP) as platform:
        http = await platform.http()
        for name, (wrong, place) in WRONG.items():
            response = await http.post("/v1/chat/completions", json=wrong)
            error = response.json()["error"]
            assert response.status_code == 400, (name, error)
            assert set(error) == {"message", "type", "param", "code"}
            assert (error["type"], error["code"]) == ("invalid_request_error", "invalid"), name
            assert (error["param"] or "") == place, (name, error)
            assert len(error["message"]) > 10


async def test_bad_json_unknown_paths_and_wrong_methods(tmp_path):
    async with serving(tmp_path, APP) as platform:
        http = await platform.http()
        for content in (b"{", b"", b"\xff\xfe", b'{"model": NaN}', b"[" * 100_000):
            response = await http.post("/v1/chat/completions", content=content)
            assert response.status_code == 400, content[:10]
            assert "not valid JSON" in response.json()["error"]["message"]
        assert (await http.post("/v1/incantations", json={})).status_code == 404
        assert (await http.get("/v1/chat/completions")).status_code == 405


async def test_an_unknown_model_is_a_404_with_the_nearest_name(tmp_path):
    async with serving(tmp_path, APP) as platform:
        await platform.deploy("chain/tide", "water")
        client = await platform.client()
        for model, nearest in (
            ("watr", "water"),
            ("endpoint/watr", "water"),
            ("chain/tid", "chain/tide"),
            ("GPT 4", ""),
            ("dataset/x", ""),
        ):
            with pytest.raises(openai.NotFoundError) as error:
                await client.chat.completions.create(model=model, messages=QUESTION)
            assert error.value.code == "model_not_found"
            assert error.value.param == "model"
            assert nearest in error.value.message


async def test_keys_let_in_only_where_they_belong(tmp_path):
    async with serving(tmp_path, APP) as platform:
        await platform.deploy("chain/tide", "water")
        await platform.deploy("chain/tide", "other")
        wrong = await platform.client("tm_0_wrongwrongwrongwrong")
        with pytest.raises(openai.AuthenticationError) as refused:
            await wrong.chat.completions.create(model="water", messages=QUESTION)
        assert refused.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            await wrong.models.list()
        narrow = await platform.client(await platform.key("water"))
        await narrow.chat.completions.create(model="water", messages=QUESTION)
        assert [each.id async for each in narrow.models.list()] == ["endpoint/water"]
        for model in ("other", "chain/tide", "model/echo"):
            with pytest.raises(openai.PermissionDeniedError) as denied:
                await narrow.chat.completions.create(model=model, messages=QUESTION)
            assert denied.value.code == "permission_denied"
        with pytest.raises(openai.NotFoundError, match="there is no project 'another'"):
            await narrow.chat.completions.create(
                model="water", messages=QUESTION, extra_headers={"x-tidemill-project": "another"}
            )


async def test_a_huge_body_is_refused_and_the_caller_reads_why(tmp_path):
    async with serving(tmp_path, APP, max_body=100_000) as platform:
        http = await platform.http()
        huge = body(messages=[{"role": "user", "content": "x" * 300_000}])
        response = await http.post("/v1/chat/completions", json=huge)
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "request_too_large"
        assert (await http.post("/v1/chat/completions", json=body())).status_code == 200


async def test_a_providers_failures_are_told_apart(tmp_path):
    async with serving(tmp_path, MODELS) as platform:
        http = await platform.http()
        for model, status, kind in (
            ("broken", 400, "invalid_request_error"), ("forbidden", 502, "server_error"), ("busy", 429, "rate_limit_error"),
        ):  # fmt: skip
            for stream in (False, True):
                response = await http.post("/v1/chat/completions", json=body(model=f"model/{model}", stream=stream))
                assert response.status_code == status, (model, stream, response.text)
                assert response.json()["error"]["type"] == kind
                assert response.headers["x-tidemill-trace"]
                assert platform.spans[-1].status == "error"


async def test_a_stream_that_breaks_says_so(tmp_path):
    async with serving(tmp_path, MODELS) as platform:
        client = await platform.client()
        heard = []

        async def listen():
            stream = await client.chat.completions.create(model="model/half", messages=QUESTION, stream=True)
            async for chunk in stream:
                heard.append(chunk.choices[0].delta.content or "")  # noqa: PERF401  (kept up to where it breaks)

        with pytest.raises(openai.APIError) as error:
            await listen()
        assert "".join(heard) == "one two"
        assert "500" in str(error.value) or "stream" in str(error.value)
        assert platform.spans[-1].status == "error"
