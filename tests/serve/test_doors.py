"""What holds at every door: who may come in, how large a body may be, and the shape of what is refused."""

import json

import pytest

from serve.platform import serving
from tidemill.serve.dialects.doors import CHAT_DIALECTS, TASKS

pytestmark = pytest.mark.anyio

DOORS = [*CHAT_DIALECTS, *TASKS]
APP = """
kind: model
name: echo
provider: test
"""
BROKEN = {
    "not JSON": b"{",
    "a list": b"[]",
    "text": b'"x"',
    "not UTF-8": b'{"model": "\xff"}',
    "a key twice": b'{"model": "model/echo", "model": "model/other"}',
    "too deep": b'{"model": "model/echo", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "nothing": b"",
}


def shape_of(path, body):
    """The error of a refusal, in the shape of its dialect."""
    if path.startswith("/v1/messages"):
        assert body["type"] == "error"
    error = body["error"]
    assert set(error) >= {"message", "type"}
    return error


async def test_bad_bodies_get_one_clear_answer_at_every_door(tmp_path):
    async with serving(tmp_path, APP, max_body=2**20) as platform:
        http = await platform.http()
        for path in DOORS:
            for name, content in BROKEN.items():
                answer = await http.post(path, content=content, headers={"content-type": "application/json"})
                assert answer.status_code in {400, 413}, (path, name, answer.text)
                assert "traceback" not in answer.text.lower()
                assert shape_of(path, answer.json())["type"] in {"invalid_request_error", "request_too_large"}, (path, name)


async def test_nobody_comes_in_without_a_key_or_by_another_method(tmp_path):
    async with serving(tmp_path, APP) as platform:
        http = await platform.http()
        for path in DOORS:
            refused = await http.post(path, json={}, headers={"authorization": "Bearer tm_no_key"})
            assert refused.status_code == 401, path
            assert shape_of(path, refused.json())["type"] == "authentication_error"
            assert (await http.get(path)).status_code == 405, path


async def test_a_model_that_is_not_there_is_named_at_every_door(tmp_path):
    asked = {
        "model": "model/nowhere", "messages": [{"role": "user", "content": "x"}], "input": "x", "prompt": "x", "query": "x",
        "documents": ["x"], "max_tokens": 5, "voice": "alloy",
    }  # fmt: skip
    async with serving(tmp_path, APP) as platform:
        http = await platform.http()
        for path in DOORS:
            if path == "/v1/audio/transcriptions":
                form = {"data": {"model": "model/nowhere"}, "files": {"file": ("a.wav", b"x")}}
                answer = await http.post(path, **form)
            else:
                said = {name: value for name, value in asked.items() if (path, name) != ("/v1/responses", "prompt")}
                answer = await http.post(path, content=json.dumps(said))
            assert answer.status_code == 404, (path, answer.text)
            assert shape_of(path, answer.json())["param"] == "model"
