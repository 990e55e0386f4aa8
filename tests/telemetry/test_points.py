"""Numbers of metrics' points: delta and cumulative say the same, restarts count once, quantiles lie within bounds."""

from __future__ import annotations

import random

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from telemetry.otlp_requests import pairs
from telemetry.spans import START_NS
from tidemill.core.clock import SystemClock
from tidemill.core.errors import Invalid
from tidemill.telemetry.intake import Intake
from tidemill.telemetry.numbers.points import Cumulative, Points, segments_of, since
from tidemill.telemetry.numbers.question import read_question
from tidemill.telemetry.store import Telemetry

pytest.importorskip("chdb", reason="needs the extra analytics")
pytest.importorskip("clickhouse_connect", reason="needs the extra analytics")
pytestmark = pytest.mark.anyio
SECOND_NS = 10**9
HOUR_NS = 3600 * SECOND_NS
START = START_NS // HOUR_NS * HOUR_NS
BOUNDS = (1.0, 2.0, 5.0, 10.0)
TOOK = "gen_ai.client.operation.duration"


def buckets_of(values):
    return [sum(low < each <= high for each in values) for low, high in zip((-1, *BOUNDS), (*BOUNDS, 1e9), strict=True)]


def histogram(metric, values, *, at, since, cumulative, model="m"):
    metric.histogram.aggregation_temporality = 2 if cumulative else 1
    metric.histogram.data_points.add(
        count=len(values), sum=sum(values), min=min(values), max=max(values), bucket_counts=buckets_of(values),
        explicit_bounds=BOUNDS, attributes=pairs({"gen_ai.request.model": model}), time_unix_nano=at,
        start_time_unix_nano=since,
    )  # fmt: skip


def request():
    """A minute's values ten times, as delta and as cumulative, and a counter that begins anew after the fifth."""
    drawn, made = random.Random(7), ExportMetricsServiceRequest()
    metrics = made.resource_metrics.add().scope_metrics.add().metrics
    minutes = [[drawn.uniform(0.5, 12) for _ in range(20)] for _ in range(10)]
    for cumulative, name in ((False, "gen_ai.delta"), (True, "gen_ai.cumulative")):
        metric = metrics.add(name=name, unit="s")
        for number, values in enumerate(minutes):
            at = START + (number * 60 + 30) * SECOND_NS
            said = [each for minute in minutes[: number + 1] for each in minute] if cumulative else values
            histogram(metric, said, at=at, since=START if cumulative else at - 60 * SECOND_NS, cumulative=cumulative)
    counter = metrics.add(name="gen_ai.counter")
    counter.sum.aggregation_temporality, counter.sum.is_monotonic = 2, True
    for number, value in enumerate((3, 5, 9, 9, 12, 2, 4)):
        began = START if number < 5 else START + 5 * 60 * SECOND_NS
        counter.sum.data_points.add(
            as_int=value, time_unix_nano=START + (number * 60 + 30) * SECOND_NS, start_time_unix_nano=began
        )
    gauge = metrics.add(name="gen_ai.in_flight")
    for number in range(5):
        gauge.gauge.data_points.add(as_int=number, time_unix_nano=START + number * 60 * SECOND_NS)
    return made, [each for minute in minutes for each in minute], minutes


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
async def asked(tmp_path_factory):
    made, values, minutes = request()
    async with Telemetry(tmp_path_factory.mktemp("points")) as telemetry:
        for _ in range(2):
            await Intake(telemetry, clock=SystemClock()).metrics("p", made.SerializeToString(), form="protobuf")
        await telemetry.flush()

        async def ask(*measures, from_ns=START, to_ns=START + HOUR_NS, **options):
            question = read_question("p", measures=measures, from_ns=from_ns, to_ns=to_ns, now_ns=START + HOUR_NS, **options)
            return await telemetry.ask_numbers(question)

        yield ask, values, minutes


@pytest.mark.parametrize("name", ["gen_ai.delta", "gen_ai.cumulative"])
async def test_both_temporalities_say_the_same(asked, name):
    ask, values, minutes = asked
    measures = [f"metric.{name}.{what}" for what in ("sum", "count", "mean", "p50", "p95")]
    answer = await ask(*measures, by=["model"])
    assert (answer["of"], answer["source"], answer["level"]) == ("points", "points", 1.0)
    (series,) = answer["series"]
    assert series["by"] == {"model": "m"}
    found, around = series["points"][0]["values"], series["points"][0]["intervals"]
    assert found[measures[0]] == pytest.approx(sum(values))
    assert found[measures[1]] == 200
    assert found[measures[2]] == pytest.approx(sum(values) / 200)
    for measure, level in ((measures[3], 0.5), (measures[4], 0.95)):
        exact = sorted(values)[int(level * 200)]
        low, high = around[measure]
        assert low <= exact <= high
        assert low <= found[measure] <= high
    whole = await ask(measures[1], interval="minute", to_ns=START + 10 * 60 * SECOND_NS)
    assert [each["values"][measures[1]] for each in whole["series"][0]["points"]] == [20] * 10
    later = await ask(measures[0], from_ns=START + 5 * 60 * SECOND_NS)
    assert later["series"][0]["points"][0]["values"][measures[0]] == pytest.approx(sum(map(sum, minutes[5:])))


async def test_a_counter_that_begins_anew_and_a_gauge(asked):
    ask, _, _ = asked
    found = (await ask("metric.gen_ai.counter.sum", "metric.gen_ai.counter.count"))["series"][0]["points"][0]["values"]
    assert found == {"metric.gen_ai.counter.sum": 16, "metric.gen_ai.counter.count": None}
    names = [f"metric.gen_ai.in_flight.{what}" for what in ("mean", "p50", "sum")]
    found = (await ask(*names))["series"][0]["points"][0]["values"]
    assert found == dict(zip(names, (2, 2, None), strict=True))
    assert (await ask("metric.gen_ai.never.sum"))["series"][0]["points"][0]["values"] == {"metric.gen_ai.never.sum": 0}
    assert (await ask("metric.gen_ai.delta.sum", by=["gen_ai.token.type", "service"]))["groups"] == 1


@pytest.mark.parametrize(
    ("measures", "options", "why"),
    [
        (["metric.a.sum", "requests"], {}, "of a metric's points"),
        (["metric.a.sum"], {"of": "calls"}, "not of calls"),
        (["metric.a.sum"], {"filter": "model = m"}, "a filter is about spans"),
        (["metric.a.sum"], {"by": ["user"]}, "have no 'user'"),
        (["metric.a.sum"], {"by": ["tag.team"]}, "have no 'tag.team'"),
        (["metric.a.rate"], {}, "unknown measure"),
        (["metric.a.p0"], {}, "unknown measure"),
        (["requests"], {"of": "points"}, "not of 'points'"),
    ],
)
def test_what_does_not_fit_is_refused(measures, options, why):
    with pytest.raises(Invalid, match=why):
        read_question("p", measures=measures, from_ns=START, to_ns=START + HOUR_NS, now_ns=START, **options)


def point(time, value, *, start=0, kind="sum", bounds=(), buckets=()):
    return Cumulative(
        kind=kind, start=start, time=time, value=value, count=sum(buckets) or value, bounds=bounds, buckets=buckets
    )


@pytest.mark.parametrize(
    ("before", "now", "added"),
    [
        (None, point(10, 5, start=0), 0),  # began before what is asked for
        (None, point(10, 5, start=7), 5),
        (None, point(10, 5, start=10), 0),  # nobody knows since when
        (point(5, 3), point(10, 5), 2),
        (point(5, 3), point(10, 2), -1),  # one that goes up and down
        (point(5, 3, start=5), point(10, 2, start=10), 2),  # it fell, and its start is unknown
        (point(5, 3, start=5), point(10, 4, start=10), 1),
        (point(5, 3), point(10, 4, start=6), 4),  # a restart
    ],
)
def test_what_a_point_adds(before, now, added):
    assert since(before, now, from_ns=5)[0] == added


def test_buckets_that_grew_or_became_coarser_are_compared_where_they_meet():
    kind = "exponential_histogram"
    before = point(5, 9, kind=kind, bounds=(2.0, 4.0, 8.0), buckets=(1, 2, 3, 0))
    grown = point(10, 20, kind=kind, bounds=(1.0, 2.0, 4.0, 8.0, 16.0), buckets=(1, 1, 3, 4, 2, 0))
    assert since(before, grown, from_ns=5)[2] == [0, 1, 1, 1, 2, 0]
    coarse = point(10, 20, kind=kind, bounds=(1.0, 4.0, 16.0), buckets=(1, 4, 6, 0))
    assert since(before, coarse, from_ns=5)[2] == [0, 2, 3, 0]
    other = point(10, 20, kind=kind, bounds=(1.0, 9.0), buckets=(3, 5, 9))
    assert since(before, other, from_ns=5)[2] is not None
    less = point(10, 20, kind=kind, bounds=(2.0, 4.0, 8.0), buckets=(1, 1, 9, 0))
    assert since(before, less, from_ns=5)[2] is None


def test_a_quantile_beyond_the_last_bound_has_no_value_but_with_a_maximum():
    points = Points(n=1, segments=segments_of((1.0, 2.0), (1, 0, 9), None, None))
    assert points.quantile(0.5) is None
    assert points.quantile(0.05) == pytest.approx(0.5, abs=0.01)
    points = Points(n=1, segments=segments_of((1.0, 2.0), (1, 0, 9), 0.9, 3.0))
    assert points.bounds_of(0.5) == (2.0, 3.0)
    assert Points().quantile(0.5) is None
    assert Points(unclear=True, segments=[(0, 1, 1)]).quantile(0.5) is None
