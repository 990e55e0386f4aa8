"""Every recording of every provider, replayed: what is asked, and what is read however the answer's bytes are cut."""

from __future__ import annotations

import pytest

from models.replay.cases import FILES, cases
from models.replay.rows import FOLDER
from models.replay.run import run
from tidemill.testing.replay import replay_server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recordings at {FOLDER}; set TIDEMILL_SHARED_DATA to their folder"),
]


@pytest.mark.parametrize("provider", FILES)
async def test_every_recording_is_replayed(provider):
    found, left = cases(provider)
    assert found or left
    wrong = []
    async with replay_server() as server:
        for case in found:
            try:
                await run(case, provider, server)
            except AssertionError as error:
                wrong.append(str(error) or case.row["id"])
    assert not wrong, "\n".join(wrong)
