from __future__ import annotations

import pytest

from telemetry.spans import START_NS, make_span
from tidemill.pricing import Overrides, read_prices
from tidemill.telemetry.numbers.question import read_question
from tidemill.telemetry.reprice import Wanted, reprice
from tidemill.telemetry.store import Telemetry

pytest.importorskip("chdb", reason="needs the extra analytics")
pytest.importorskip("clickhouse_connect", reason="needs the extra analytics")
pytestmark = pytest.mark.anyio


@pytest.fixture
async def telemetry(tmp_path):
    async with Telemetry(tmp_path) as telemetry:
        yield telemetry


def sent(number: int, *, model="gpt-4o-mini", provider="openai", cost=None, **fields):
    return make_span(
        number, kind="llm", model=model, provider=provider, cost=cost, dialect="gen_ai", tokens_in=1_000_000,
        start_ns=START_NS + number * 10**9, **fields,
    )  # fmt: skip


async def costs(telemetry: Telemetry):
    rows = await telemetry._engine.query(
        "SELECT name, cost, attributes['tidemill.cost_source'], attributes['tidemill.cost_sent'] FROM spans FINAL"
        " ORDER BY start",
        {},
    )
    return {row[0]: tuple(row[1:]) for row in rows}


async def total(telemetry: Telemetry) -> float:
    question = read_question(
        "p", measures=("cost",), from_ns=START_NS, to_ns=START_NS + 3600 * 10**9, now_ns=START_NS + 3600 * 10**9
    )
    return (await telemetry.ask_numbers(question))["series"][0]["points"][0]["values"]["cost"]


async def test_spans_without_a_cost_get_one_when_they_come(telemetry):
    await telemetry.append(
        [
            sent(0), sent(1, cost=7.0), sent(2, model="models/gemini-2.5-flash", provider="gcp.gemini"),
            sent(3, model="anthropic.claude-3-5-sonnet-20241022-v2:0", provider="aws.bedrock"), sent(4, model="our-own"),
            sent(5, provider=None),
        ]
    )  # fmt: skip
    await telemetry.flush()
    found = await costs(telemetry)
    assert found["span 0"] == (pytest.approx(0.15), '"list"', "")
    assert found["span 1"] == (7.0, "", "")
    assert found["span 2"][0] == pytest.approx(0.3)
    assert found["span 3"][0] == pytest.approx(3.0)
    assert found["span 4"] == (None, "", "")
    assert found["span 5"][0] == pytest.approx(0.15)


async def test_a_corrected_price_changes_costs_and_numbers_and_leaves_what_the_sender_said(telemetry):
    await telemetry.append([sent(0), sent(1, cost=7.0), sent(2, model="our-own"), sent(3)])
    await telemetry.flush()
    await telemetry.rollups.settle("p", grace=0)
    assert await total(telemetry) == pytest.approx(7.3)
    own = Overrides(read_prices([{"model": "our-own", "input": 2}, {"model": "gpt-4o*", "provider": "openai", "input": 1}]))
    wanted = Wanted(project="p", model="*", from_ns=START_NS, to_ns=START_NS + 10**12)
    said = [each async for each in reprice(telemetry._engine, wanted, own, dry_run=True)][-1].as_json()
    assert said == {
        "spans": 4, "changed": 3, "kept": 1, "unpriced": 0, "before": pytest.approx(0.3), "after": pytest.approx(4.0),
        "difference": pytest.approx(3.7),
    }  # fmt: skip
    assert await total(telemetry) == pytest.approx(7.3)
    for changed in (3, 0):
        done = [each async for each in reprice(telemetry._engine, wanted, own, dry_run=False)][-1]
        assert done.changed == changed
        assert await total(telemetry) == pytest.approx(11.0)
    await telemetry.rollups.settle("p", grace=0)
    assert await total(telemetry) == pytest.approx(11.0)
    found = await costs(telemetry)
    assert found["span 0"] == (1.0, '"project"', "")
    assert found["span 1"] == (7.0, "", "")
    overruled = Wanted(project="p", model="gpt-4o-mini", from_ns=START_NS, to_ns=START_NS + 10**12, overrule=True)
    done = [each async for each in reprice(telemetry._engine, overruled, own, dry_run=False)][-1]
    assert (done.changed, done.after - done.before) == (1, -6.0)
    assert (await costs(telemetry))["span 1"] == (1.0, '"project"', "7")


async def test_a_span_that_comes_again_after_its_price_was_corrected_counts_once(telemetry):
    await telemetry.append([sent(0)], received_ns=START_NS)
    await telemetry.flush()
    own = Overrides(read_prices([{"model": "gpt-4o-mini", "input": 1}]))
    wanted = Wanted(project="p", model="gpt-4o-mini", from_ns=START_NS, to_ns=START_NS + 10**12)
    assert [each async for each in reprice(telemetry._engine, wanted, own, dry_run=False)][-1].changed == 1
    await telemetry.append([sent(0)], received_ns=START_NS)
    await telemetry.flush()
    await telemetry.rollups.settle("p", grace=0)
    assert await total(telemetry) == pytest.approx(1.0)
