"""`kill -9` at random moments while spans come in: every acknowledged span is there, and exactly once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from e2e.killing import SPANS, Sent, kill_again_and_again
from e2e.processes import served
from tidemill.telemetry.engine.embedded import EmbeddedEngine

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.slow
async def test_kills_lose_and_double_nothing(folder: Path) -> None:
    await check(folder, kill_again_and_again(folder, kills=8, seed=20))


@pytest.mark.thorough
@pytest.mark.timeout(3000)
async def test_two_hundred_kills_lose_and_double_nothing(folder: Path) -> None:
    await check(folder, kill_again_and_again(folder, kills=200, seed=200))


async def check(folder: Path, sent: Sent) -> None:
    with served(folder) as server:  # whatever is only spooled goes into the store before a question is answered
        some = sorted(sent.acknowledged)[:: max(1, len(sent.acknowledged) // 20)]
        for trace in some:
            while (answer := server.http.get(f"{server.api}/traces/{trace:032x}")).status_code == 503:
                pass  # what was only spooled is still on its way into the store
            assert len(answer.json()["spans"]) == SPANS
    kept = await spans_of(folder / ".tidemill" / "spans")
    print(  # noqa: T201  (the figures of a run that was asked for)
        f"{sent.kills} kills; {len(sent.acknowledged)} batches acknowledged, {sent.again} sent again, {kept.total()} spans kept"
    )
    assert len(sent.acknowledged) > sum(sent.kills.values())
    lost = [trace for trace in sent.acknowledged if kept[f"{trace:032x}"] != SPANS]
    assert lost == []
    assert set(kept) <= {f"{trace:032x}" for trace in sent.begun}
    assert set(kept.values()) == {SPANS}


async def spans_of(store: Path) -> Counter[str]:
    """Rows by trace as the table has them once parts are merged: a span that were there twice would count twice."""
    engine = EmbeddedEngine(store)
    try:
        rows = await engine.query("SELECT trace_id, count() FROM spans FINAL WHERE service = 'shop' GROUP BY trace_id", {})
        doubled = await engine.query(
            "SELECT count() FROM (SELECT trace_id, span_id FROM spans FINAL GROUP BY trace_id, span_id HAVING count() > 1)", {}
        )
        assert doubled == [[0]]
        return Counter({str(trace): int(str(count)) for trace, count in rows})
    finally:
        await engine.close()
