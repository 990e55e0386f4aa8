"""What a client of a dialect wrote, passed on as it is; and what came back, byte for byte."""

from __future__ import annotations

import json

import orjson
import pytest

from models.replay import messages
from models.replay.cases import cases
from models.replay.rows import FOLDER
from models.replay.run import connection
from models.replay.said import Said
from tidemill.core.extend import load_extension
from tidemill.testing.replay import replay_server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recordings at {FOLDER}; set TIDEMILL_SHARED_DATA to their folder"),
]


async def passed_on(provider, case, server):
    made = load_extension("chat_providers", provider)()
    server.recorded = case.recorded
    body = {**case.row["request"], "model": case.model}
    try:
        answer = await made.forward(
            "anthropic.messages", orjson.dumps(body), model=case.model, connection=connection(case, provider, server),
            stream=case.recorded.is_stream, headers={"anthropic-beta": "tried-out"},
        )  # fmt: skip
        pieces = []
        async for piece in answer.chunks:
            pieces.append(piece)
            answer.reader.feed(piece)
        answer.reader.end()
    finally:
        await made.close()
    assert answer.reader.error is None, case.row["id"]
    assert answer.reader.began, case.row["id"]
    assert answer.reader.ended, case.row["id"]
    return b"".join(pieces), answer


async def test_every_recorded_message_passes_through_untouched():
    found = [case for case in cases("anthropic")[0] if case.kind == "chat" and case.recorded.status == 200]
    async with replay_server() as server:
        for case in found:
            content, answer = await passed_on("anthropic", case, server)
            assert content == case.recorded.content, case.row["id"]
            assert Said.of(answer.reader.response()) == messages.says(case.row), case.row["id"]
            assert server.requests[-1] == {**case.row["request"], "model": case.model}


async def test_invoked_frames_become_the_events_that_they_hold():
    found = [case for case in cases("bedrock")[0] if case.options and case.recorded.status == 200]
    assert any(case.recorded.is_stream for case in found)
    async with replay_server() as server:
        for case in found:
            content, answer = await passed_on("bedrock", case, server)
            if case.recorded.is_stream:
                lines = [line[6:] for line in content.decode().splitlines() if line.startswith("data: ")]
                assert [json.loads(line) for line in lines] == messages.events(case.row), case.row["id"]
            assert Said.of(answer.reader.response()) == messages.says(case.row), case.row["id"]
            assert server.requests[-1]["anthropic_beta"] == ["tried-out"]
            assert "model" not in server.requests[-1]
