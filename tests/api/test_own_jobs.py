"""Which jobs are recorded as spans of the platform's own project."""

from __future__ import annotations

import types

import pytest

from tidemill.api.own_jobs import recorded
from tidemill.core.clock import Ids, SystemClock
from tidemill.telemetry.recorder import Recorder

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(("own", "good", "bad"), [("slow", 0, 1), ("all", 1, 1), ("off", 0, 0)])
async def test_which_jobs_are_recorded(own, good, bad) -> None:
    spans = []

    async def works(payload, context):
        return payload["n"]

    async def fails(payload, context):
        raise LookupError("no such thing")

    recorder = Recorder(spans.append, ids=Ids(), clock=SystemClock())
    handlers = recorded({"works": works, "fails": fails}, recorder=recorder, own=own)
    context = types.SimpleNamespace(job_id="j1", project="shop")
    assert await handlers["works"]({"n": 3}, context) == 3
    assert len(spans) == good
    spans.clear()
    with pytest.raises(LookupError):
        await handlers["fails"]({}, context)
    assert len(spans) == bad
    for each in spans:
        assert (each.name, each.project, each.kind, each.error) == ("job fails", "tidemill-internal", "other", "no such thing")
        assert each.attributes["tidemill.job.project"] == "shop"
