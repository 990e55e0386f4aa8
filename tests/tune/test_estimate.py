from __future__ import annotations

from dataclasses import replace

import pytest

from tidemill.core.errors import Invalid
from tidemill.core.parts import Message
from tidemill.tune.estimate import estimate_run, kept_rows
from tidemill.tune.kinds import TuneKind
from tidemill.tune.recipe import recipe_for
from tidemill.tune.rows import Row

pytestmark = pytest.mark.anyio
SPEC = TuneKind().parse({"base": "model/m", "data": "dataset/d", "steps": 10, "max_tokens": 64}, files=None).spec


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def row(number: int, words: int = 5) -> Row:
    return Row(id=f"r{number}", prompt=(Message.of("user", "word " * words),), answer="yes")


async def count(row: Row) -> tuple[int, int]:
    return len(row.prompt[0].text.split()) + 10, 2


async def estimate(rows, **changes):
    recipe = replace(recipe_for(SPEC, rows=len(rows)), **changes)
    return await estimate_run(rows, recipe=recipe, count=count, speed=changes.get("speed")), recipe


async def test_it_says_rows_tokens_steps_minutes_and_memory():
    found, _ = await estimate([row(each) for each in range(100)])
    assert (found.rows, found.tokens_per_row, found.steps) == (100, 17, 10)
    assert found.tokens == 17 * 8 * 10
    assert found.epochs == 0.8
    assert 0.1 < found.minutes < 2
    assert found.memory_mb > 1000
    assert not found.measured


async def test_a_measured_speed_is_used():
    rows = [row(each) for each in range(100)]
    recipe = recipe_for(SPEC, rows=100)
    slow = await estimate_run(rows, recipe=recipe, count=count, speed=1.0)
    assert slow.measured
    assert slow.minutes > 20


async def test_rows_that_are_too_long_are_named_refused_dropped_or_cut():
    rows = [row(1), row(2, words=200), row(3), row(4, words=70)]
    found, recipe = await estimate(rows)
    assert found.too_long == ("r2", "r4")
    with pytest.raises(Invalid, match="2 rows are longer than 64 tokens: r2, r4") as caught:
        kept_rows(rows, found, recipe=recipe)
    assert "too_long: drop" in caught.value.hint
    assert "are refused: r2, r4" in found.notes[0]
    dropping = replace(recipe, too_long="drop")
    assert [each.id for each in kept_rows(rows, found, recipe=dropping)] == ["r1", "r3"]
    assert len(kept_rows(rows, found, recipe=replace(recipe, too_long="truncate"))) == 4
    nothing = replace(found, too_long=("r1", "r2", "r3", "r4"))
    with pytest.raises(Invalid, match="every row is longer"):
        kept_rows(rows, nothing, recipe=dropping)


async def test_short_rows_are_not_counted_one_by_one():
    asked: list[str] = []

    async def counting(row: Row) -> tuple[int, int]:
        asked.append(row.id)
        return 5, 1

    rows = [row(each, words=2) for each in range(5000)]
    recipe = replace(recipe_for(SPEC, rows=5000), max_tokens=512)
    await estimate_run(rows, recipe=recipe, count=counting)
    assert len(asked) < 100


async def test_more_than_the_base_can_read_is_refused():
    rows = [row(each) for each in range(10)]
    with pytest.raises(Invalid, match="more than the base reads, 32"):
        await estimate_run(rows, recipe=recipe_for(SPEC, rows=10), count=count, context=32)
