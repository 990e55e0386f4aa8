from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import random
import signal
from collections import defaultdict

import pytest

from telemetry.spans import START_NS, make_span
from tidemill.telemetry.engine.protocol import EngineDied
from tidemill.telemetry.numbers.histogram import RELATIVE_ERROR, place_of, value_of
from tidemill.telemetry.numbers.question import read_question
from tidemill.telemetry.numbers.questions import NumberQuestions
from tidemill.telemetry.rollups.state import HOUR, Dirty, cover, dirty_of
from tidemill.telemetry.store import Telemetry

pytest.importorskip("chdb", reason="needs the extra analytics")
pytest.importorskip("clickhouse_connect", reason="needs the extra analytics")
pytestmark = pytest.mark.anyio
SECOND_NS = 10**9
START = START_NS // SECOND_NS // HOUR * HOUR
EVER = (0, 4_102_444_800)


@pytest.fixture
async def telemetry(tmp_path):
    async with Telemetry(tmp_path) as telemetry:
        yield telemetry


def call(number: int, *, second: float, **fields):
    """A call of a model below a chain, the chain's number being the even one."""
    is_call = bool(number % 2)
    start = round((START + second) * SECOND_NS)
    model, cost, took = fields.pop("model", "m"), fields.pop("cost", None), fields.pop("took_ms", 10)
    return make_span(
        number, trace=number // 2, parent=number - 1 if is_call else None, kind="llm" if is_call else "chain",
        start_ns=start, end_ns=start + took * 1_000_000, model=model if is_call else None, cost=cost if is_call else None,
        **fields,
    )  # fmt: skip


async def ask(telemetry: NumberQuestions, *measures: str, **options):
    question = read_question(
        "p", measures=measures, from_ns=options.pop("from_ns", START * SECOND_NS), now_ns=(START + 6 * HOUR) * SECOND_NS,
        to_ns=options.pop("to_ns", None), **options,
    )  # fmt: skip
    return await telemetry.ask_numbers(question)


async def values(telemetry: NumberQuestions, *measures: str, **options):
    answer = await ask(telemetry, *measures, **options)
    return answer["source"], {tuple(each["by"].values()): each["points"][0]["values"] for each in answer["series"]}


async def settle(telemetry: Telemetry) -> None:
    await telemetry.flush()
    assert await telemetry.rollups.settle("p", grace=0) == 0


def recount(spans) -> dict[tuple[str, ...], dict[str, float]]:
    """What the roll-ups must say of these spans, the last of each id, straight from the definitions."""
    last = {(each.trace_id, each.span_id): each for each in spans}
    inside = {(each.trace_id, each.parent_id) for each in last.values() if each.kind == "llm"}
    found: dict[tuple[str, ...], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for key, each in last.items():
        sums = found[(each.kind, each.model or "")]
        sums["count"] += each.weight
        sums["errors"] += each.weight * (each.status == "error")
        if each.kind == "llm" and key not in inside:
            sums["input_tokens"] += each.weight * each.usage.input_tokens
            sums["cost"] += each.weight * (each.cost or 0.0)
    return found


async def counted(telemetry: Telemetry):
    return await values(telemetry, "count", "errors", "input_tokens", "cost", by=("kind", "model"), of="spans")


def assert_same(found, wanted) -> None:
    there = {key: each for key, each in wanted.items() if each["count"]}
    assert set(found) == set(there)
    for key, sums in there.items():
        for name, value in found[key].items():
            assert value == pytest.approx(sums[name], rel=1e-9), (key, name)


@pytest.mark.parametrize("seed", range(3))
async def test_numbers_equal_a_recount_with_late_repeated_changed_and_deleted_spans(telemetry, seed):
    chance = random.Random(seed)
    stored = {}
    for _ in range(6):
        batch = []
        for _ in range(chance.randrange(1, 30)):
            number = chance.randrange(60)
            second = random.Random(number // 2).uniform(0, 3 * HOUR)  # a span that comes again began when it began
            batch.append(
                call(
                    number, second=second, model=chance.choice(["m", "n"]), cost=chance.choice([None, 0.25]), tokens_in=7,
                    status=chance.choice(["ok", "error"]), weight=chance.choice([1.0, 1.0, 10.0]),
                )
            )  # fmt: skip
        await telemetry.append(batch, received_ns=START_NS + len(stored) * 1000 + chance.randrange(10) * 10**9)
        batch_last = {each.span_id: each for each in batch}
        again = {each.span_id for each in batch} & set(stored)
        if again:  # which of two stays is said by when they came; send the changed ones again, later than all
            await telemetry.append(list(batch_last.values()), received_ns=START_NS + 10**12 + len(stored))
        stored |= batch_last
        await telemetry.flush()
        if chance.random() < 0.6:
            await settle(telemetry)
        if chance.random() < 0.5:
            gone = chance.choice(sorted(stored))
            await telemetry._engine.execute("DELETE FROM spans WHERE project = 'p' AND span_id = {span:String}", {"span": gone})
            at = stored.pop(gone).start_ns
            await telemetry.rollups.mark_dirty("p", at, at + 1)
    now = recount((await all_spans(telemetry)).values())
    assert_same((await counted(telemetry))[1], now)
    await settle(telemetry)
    source, found = await counted(telemetry)
    assert source == "rollups"
    assert_same(found, now)


async def all_spans(telemetry: Telemetry):
    rows = await telemetry._engine.query(
        "SELECT toString(trace_id), toString(span_id), parent_id, kind, model, status, weight, input_tokens, cost,"
        " toUnixTimestamp64Nano(start) FROM spans FINAL WHERE project = 'p'",
        {},
    )
    return {
        row[1]: make_span(
            int(row[1], 16) - 1, trace=int(row[0], 16), parent=int(row[2], 16) - 1 if row[2] else None, kind=row[3],
            model=row[4] or None, status=row[5], weight=row[6], tokens_in=row[7], cost=row[8], start_ns=row[9],
        )
        for row in rows
    }  # fmt: skip


async def test_an_hour_of_which_a_minute_changed_is_read_from_its_minutes_and_the_spans_of_that_one(telemetry):
    await telemetry.append([call(number, second=number * 30) for number in range(400)])
    await settle(telemetry)
    assert (await ask(telemetry, "requests"))["source"] == "rollups"
    await telemetry.append([call(800, second=65)])
    source, found = await values(telemetry, "requests")
    assert (source, found) == ("rollups and spans", {(): {"requests": 201}})
    coverage = await telemetry.rollups.coverage("p", (START, START + 4 * HOUR), level="hour")
    assert coverage.spans == [(START + 60, START + 120)]
    assert coverage.hours == [(START + HOUR, START + 4 * HOUR)]


@pytest.mark.parametrize("second", [0.0, 0.3, 59.0, 59.3, 59.999999999, HOUR - 0.7])
@pytest.mark.parametrize("rolled_up", [False, True])
async def test_spans_that_all_start_at_one_moment_are_counted_wherever_in_a_minute_it_is(telemetry, second, rolled_up):
    await telemetry.append([call(number, second=second, cost=0.5) for number in range(8)])
    if rolled_up:
        await settle(telemetry)
    for interval in ("none", "minute", "hour", "day"):
        asked = await ask(telemetry, "cost", "requests", interval=interval, to_ns=(START + 2 * HOUR) * SECOND_NS)
        points = [each["values"] for series in asked["series"] for each in series["points"]]
        assert sum(each["cost"] or 0 for each in points) == 2.0, (interval, asked["source"])
        assert sum(each["requests"] for each in points) == 4


async def test_what_was_sampled_counts_for_what_it_stands_for(telemetry):
    spans = [call(2 * number, second=number, weight=10.0, took_ms=100) for number in range(90)]
    spans += [call(1000 + 2 * number, second=number, status="error", took_ms=900) for number in range(100)]
    await telemetry.append(spans)
    for _ in range(2):
        answer = await ask(telemetry, "requests", "error_rate", "latency.p50", "latency.p95")
        point = answer["series"][0]["points"][0]
        assert answer["sampled"]
        assert point["n"] == 190
        assert point["values"]["requests"] == 1000
        assert point["values"]["error_rate"] == pytest.approx(0.1)
        assert point["values"]["latency.p50"] == pytest.approx(100, rel=RELATIVE_ERROR)
        assert point["values"]["latency.p95"] == pytest.approx(900, rel=RELATIVE_ERROR)
        low, high = point["intervals"]["requests"]
        assert low < 1000 < high
        assert (high - low) / 2 == pytest.approx(1.96 * math.sqrt(90 * 90), rel=0.01)
        low, high = point["intervals"]["error_rate"]
        assert low < 0.1 < high
        assert high - low > 0.07  # 109 equally weighted requests would say as much, not 1000
        await settle(telemetry)


async def test_a_call_that_repeats_the_call_below_it_is_not_charged_also_when_that_comes_later(telemetry):
    outer = make_span(1, trace=7, kind="llm", model="m", cost=1.0, start_ns=(START + 59) * SECOND_NS)
    await telemetry.append([outer])
    await settle(telemetry)
    assert (await values(telemetry, "cost"))[1] == {(): {"cost": 1.0}}
    inner = make_span(2, trace=7, parent=1, kind="llm", model="m", cost=1.0, start_ns=(START + 60) * SECOND_NS + 1)
    await telemetry.append([inner])
    assert (await values(telemetry, "cost"))[1] == {(): {"cost": 1.0}}
    await settle(telemetry)
    assert await values(telemetry, "cost") == ("rollups", {(): {"cost": 1.0}})


async def test_numbers_of_users_follow_their_traces(telemetry):
    await telemetry.append(
        [
            call(0, second=1, user="ada"), call(1, second=2, cost=0.5),
            call(2, second=3, user="bob"), call(3, second=4, user="bob", cost=0.25), call(4, second=5),
        ]
    )  # fmt: skip
    wanted = {("ada",): {"cost": 0.5, "requests": 1}, ("bob",): {"cost": 0.25, "requests": 1}}
    assert await values(telemetry, "cost", "requests", by=("user",)) == ("rollups and spans", wanted)
    await settle(telemetry)
    hours = {"from_ns": START * SECOND_NS, "to_ns": (START + HOUR) * SECOND_NS}
    assert await values(telemetry, "cost", "requests", by=("user",), **hours) == ("rollups", wanted)
    await telemetry.rollups.forget("p", user="ada")
    assert set((await values(telemetry, "cost", by=("user",), **hours))[1]) == {("bob",)}


async def test_numbers_outlive_spans_that_were_kept_long_enough(telemetry):
    await telemetry.append([call(number, second=number) for number in range(10)])
    await telemetry.append([call(100, second=2 * HOUR)])
    await telemetry.flush()
    await telemetry.rollups.freeze("p", (START + HOUR) * SECOND_NS)
    await telemetry._engine.execute("DELETE FROM spans WHERE start < toDateTime({to:UInt32})", {"to": START + HOUR})
    await telemetry.append([call(200, second=3)])  # late, and too old to be kept
    await settle(telemetry)
    assert await values(telemetry, "requests") == ("rollups", {(): {"requests": 6}})


async def test_a_kill_between_any_two_steps_leaves_the_numbers_right(telemetry, monkeypatch):
    await telemetry.append([call(number, second=number * 45, cost=0.5, user="ada") for number in range(200)])
    await telemetry.flush()
    wanted = (await values(telemetry, "requests", "cost", "latency.p95"))[1]
    engine = telemetry._engine
    for step in range(9):
        steps = iter(range(20))

        def killing(work, *, steps=steps, last=step):
            async def done(*given, **options):
                await work(*given, **options)
                if next(steps) == last:
                    os.kill(engine.pid, signal.SIGKILL)
                    raise EngineDied("killed by the test")

            return done

        with monkeypatch.context() as patched:
            patched.setattr(engine, "execute", killing(engine.execute))
            patched.setattr(engine, "insert", killing(engine.insert))
            with contextlib.suppress(EngineDied):
                await telemetry.rollups.settle("p", grace=0)
        assert (await values(telemetry, "requests", "cost", "latency.p95"))[1] == wanted
        await telemetry.rollups.mark_dirty("p", START * SECOND_NS, (START + step * 600 + 1) * SECOND_NS)
    await settle(telemetry)
    assert await values(telemetry, "requests", "cost", "latency.p95") == ("rollups", wanted)


async def test_a_batch_that_is_stored_while_it_is_rebuilt_is_not_missed(telemetry):
    await telemetry.append([call(number, second=1) for number in range(10)])
    await telemetry.flush()
    dirty = await dirty_of(telemetry._engine, "p", EVER)
    await telemetry.append([call(number, second=1) for number in range(10, 20)])
    await telemetry.flush()
    await telemetry.rollups.build_minutes("p", dirty.minutes)
    assert (await dirty_of(telemetry._engine, "p", EVER)).minutes
    assert (await values(telemetry, "requests"))[1] == {(): {"requests": 10}}


async def test_a_minute_is_left_alone_while_spans_may_still_come(telemetry):
    await telemetry.append([call(0, second=1)])
    await telemetry.flush()
    assert await telemetry.rollups.settle("p", grace=60) == 1
    assert await telemetry.rollups.settle("p", grace=0) == 0


async def test_old_builds_are_swept_away(telemetry):
    await telemetry.append([call(0, second=1)])
    await settle(telemetry)
    await telemetry.append([call(2, second=1)])
    await settle(telemetry)
    rollups = telemetry.rollups
    assert (await telemetry._engine.query("SELECT count() FROM rollup_minute", {}))[0][0] == 2
    later = rollups._now_ns() + 10**12
    rollups._now_ns = lambda: later
    await rollups._sweep()
    assert (await telemetry._engine.query("SELECT count(), sum(spans) FROM rollup_minute", {}))[0] == [1, 2]


async def test_many_spans_in_one_row_are_counted_by_place(telemetry):
    await telemetry._engine.execute(
        "INSERT INTO spans (project, trace_id, span_id, root, name, kind, start, received, duration_ns, weight)"
        " SELECT 'p', leftPad(toString(number), 32, '0'), leftPad(toString(number), 16, '0'), 1, 'n', 'chain',"
        " toDateTime64({start:UInt32}, 9, 'UTC') AS start, start, (number + 1) * 100000, 1 FROM numbers(20000)",
        {"start": START},
    )
    unrolled = (await values(telemetry, "latency.p50", "latency.p99", "requests"))[1]
    await settle(telemetry)
    assert await values(telemetry, "latency.p50", "latency.p99", "requests") == ("rollups", unrolled)
    assert unrolled[()]["latency.p50"] == pytest.approx(1000, rel=RELATIVE_ERROR)
    rows = await telemetry._engine.query("SELECT max(length(latency)), sum(arraySum(latency_counts)) FROM rollup_hour", {})
    assert rows[0][0] < 1000
    assert rows[0][1] == 20000


def test_a_place_is_within_its_error():
    for exponent in range(0, 170, 3):
        value = 1.27**exponent
        assert value_of(place_of(value)) == pytest.approx(value, rel=RELATIVE_ERROR * 1.0001)
    assert (place_of(0), value_of(0)) == (0, 0.0)


def test_too_many_holes_are_read_from_the_spans_as_a_whole():
    minutes = {START + 120 * number: 1 for number in range(2000)}
    dirty = Dirty(minutes=minutes, marked={}, hours={}, users={})
    covered = cover((START, START + 100 * HOUR), dirty, level="hour")
    assert (covered.spans, covered.hours) == ([(START, START + 67 * HOUR)], [(START + 67 * HOUR, START + 100 * HOUR)])


async def test_a_million_users_are_counted_in_bounded_memory(telemetry):
    await telemetry._engine.execute(
        "INSERT INTO spans (project, trace_id, span_id, root, name, kind, start, received, duration_ns, user, cost, weight)"
        " SELECT 'p', leftPad(toString(number), 32, '0'), leftPad(toString(number), 16, '0'), 1, 'n', 'llm',"
        " toDateTime64({start:UInt32}, 9, 'UTC') AS start, start, 1000, concat('user-', toString(number)), 0.5, 1"
        " FROM numbers(1000000)",
        {"start": START},
    )
    await settle(telemetry)
    answer = await ask(telemetry, "cost", by=("user",), limit=10, to_ns=(START + HOUR) * SECOND_NS, order="-cost")
    assert len(answer["series"]) == 10
    assert answer["more"]
    source, found = await values(telemetry, "users", "cost")
    assert found[()] == {"users": 1_000_000, "cost": 500_000.0}
    assert json.dumps(source)


async def test_the_background_rebuilds_by_itself(telemetry, monkeypatch):
    done = asyncio.Event()
    settle_now = telemetry.rollups.settle

    async def settling(project):
        await settle_now(project, grace=0)
        done.set()
        return 0

    monkeypatch.setattr(telemetry.rollups, "settle", settling)
    await telemetry.append([call(number, second=number) for number in range(10)])
    await telemetry.flush()
    done.clear()
    telemetry.rollups._more.set()
    telemetry.rollups.pause.set()
    async with asyncio.timeout(60):
        await done.wait()
    assert await dirty_of(telemetry._engine, "p", EVER) == Dirty(minutes={}, marked={}, hours={}, users={})
    assert (await values(telemetry, "requests"))[1] == {(): {"requests": 5}}
