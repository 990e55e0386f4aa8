"""Same dialect in and out, through a real server: every recorded stream comes back byte for byte, and is counted."""

import pytest

from models.recordings import recordings
from models.test_recordings import DIALECT, replay
from models.upstream import serve_upstream
from serve.platform import serving

pytestmark = pytest.mark.anyio

APP = """
kind: connection
name: {provider}
provider: {provider}
base_url: {url}{path}
api_key: env:A_KEY_OF_A_TEST
allow_private: true
---
kind: model
name: far
provider: {provider}
model: m
"""
ASKED = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}], "stream_options": {"include_usage": True}},
    "/v1/completions": {"prompt": "x", "echo": True, "stream_options": {"include_usage": True}},
    "/v1/responses": {"input": "x"},
    "/v1/messages": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 99},
}
SOURCES = [
    ("openai", "/v1", "/v1/chat/completions", DIALECT, "/chat/completions"),
    ("openai", "/v1", "/v1/completions", ("openai", "openai-compatible", "together"), "/v1/completions"),
    ("azure", "/openai/v1", "/v1/responses", ("openai", "azure"), "/responses"),
    ("anthropic", "", "/v1/messages", ("anthropic",), "/v1/messages"),
]


@pytest.mark.parametrize(("provider", "path", "door", "files", "recorded"), SOURCES, ids=[each[2] for each in SOURCES])
async def test_every_recorded_stream_passes_through_byte_for_byte(tmp_path, monkeypatch, provider, path, door, files, recorded):
    monkeypatch.setenv("A_KEY_OF_A_TEST", "secret-of-the-upstream")
    rows = [row for row in recordings(*files, path=recorded) if row["status"] == 200 and isinstance(row["response"], str)]
    rows = [row for row in rows if '"error":{' not in row["response"].replace(" ", "")]
    assert len(rows) >= 4
    app = APP.format(provider=provider, url="{url}", path=path)
    async with serve_upstream() as upstream, serving(tmp_path, app.format(url=upstream.url)) as platform:
        http = await platform.http()
        for row in rows:
            upstream.behave = replay(row)
            answer = await http.post(door, json={**ASKED[door], "model": "model/far", "stream": True})
            assert answer.status_code == 200, (row["id"], answer.text)
            assert answer.content == row["response"].encode(), row["id"]
            assert upstream.bodies[-1]["model"] == "m"
        roots = platform.roots
        assert len(roots) == len(rows)
        assert {each.status for each in roots} == {"ok"}
        if any('"output_tokens":' in row["response"] or '"completion_tokens":' in row["response"] for row in rows):
            assert any(each.usage is not None and each.usage.output_tokens for each in roots)
