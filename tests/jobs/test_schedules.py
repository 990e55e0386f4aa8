"""What is looked at besides the clock's own schedules, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tidemill.jobs.schedules import Schedules
from tidemill.store.database import Database

pytestmark = pytest.mark.anyio
SECOND = 10**9


class Clock:
    def __init__(self) -> None:
        self.ns = 1_790_000_000 * SECOND

    def now_ns(self) -> int:
        return self.ns


@pytest.mark.parametrize(
    ("every", "seen"),
    [(0.0, [1, 2, 3, 4, 5]), (60.0, [1, 1, 2, 2, 3])],
    ids=["at every tick", "once a minute, also when the clock was set back"],
)
async def test_a_look_comes_as_often_as_it_was_asked_for(tmp_path: Path, every: float, seen: list[int]) -> None:
    clock, looked = Clock(), list[int]()

    async def look() -> Sequence[str]:
        looked.append(clock.ns)
        return ["started"]

    database = Database.open(tmp_path / "meta.db")
    try:
        schedules = Schedules(database=database, clock=clock)
        schedules.also(look, every=every)
        counts = list[int]()
        for passed in (0, 59, 1, 30, -3600):
            clock.ns += passed * SECOND
            before = len(looked)
            assert await schedules.tick() == ["started"] * (len(looked) - before)
            counts.append(len(looked))
    finally:
        database.close()
    assert counts == seen
