"""Points of metrics: what is kept, once, and what can be asked of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from telemetry.otlp_requests import START_NS, pairs
from tidemill.core.clock import SystemClock
from tidemill.telemetry.engine.embedded import EmbeddedEngine
from tidemill.telemetry.intake import Intake
from tidemill.telemetry.otlp.answers import encode_taken
from tidemill.telemetry.store import Telemetry

pytestmark = pytest.mark.anyio
REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "otlp.md"


def request() -> ExportMetricsServiceRequest:
    made = ExportMetricsServiceRequest()
    of_resource = made.resource_metrics.add()
    of_resource.resource.attributes.extend(pairs({"service.name": "shop"}))
    metrics = of_resource.scope_metrics.add().metrics
    times = {"time_unix_nano": START_NS, "start_time_unix_nano": START_NS - 10**9}
    tokens = metrics.add(name="gen_ai.client.token.usage", unit="{token}")
    tokens.histogram.aggregation_temporality = 1
    for model, total in (("small", 120), ("large", 900)):
        tokens.histogram.data_points.add(
            count=3, sum=total, min=1, max=total, bucket_counts=[1, 2, 0], explicit_bounds=[10, 1000],
            attributes=pairs({"gen_ai.request.model": model}), **times,
        )  # fmt: skip
    tokens.histogram.data_points.add(count=1, sum=1, time_unix_nano=0)
    took = metrics.add(name="gen_ai.client.operation.duration", unit="s")
    took.exponential_histogram.data_points.add(
        count=3, sum=7.5, scale=0, zero_count=1, positive={"offset": 1, "bucket_counts": [1, 1]}, **times
    )
    metrics.add(name="gen_ai.in_flight").gauge.data_points.add(as_int=4, **times)
    metrics.add(name="gen_ai.spent").sum.data_points.add(as_double=float("nan"), **times)
    metrics.add(name="gen_ai.old").summary.data_points.add(count=2, sum=3.0, **times)
    metrics.add(name="http.server.duration").gauge.data_points.add(as_double=1.0, **times)
    metrics.add(name="gen_ai.nothing")
    return made


async def test_points_are_kept_once_and_can_be_asked(tmp_path):
    body = request().SerializeToString()
    async with Telemetry(tmp_path) as telemetry:
        intake = Intake(telemetry, clock=SystemClock())
        for _ in range(2):
            taken = await intake.metrics("p", body, form="protobuf")
        answer = ExportMetricsServiceResponse.FromString(encode_taken(taken, signal="metrics", form="protobuf")).partial_success
        assert answer.rejected_data_points == 1
        assert "years 2000 to 2099" in answer.error_message
        assert "1 points of metrics that say nothing of generative AI" in answer.error_message
        await telemetry.flush()
        assert telemetry.rejected == 0
    engine = EmbeddedEngine(tmp_path / "spans")
    try:
        rows = await engine.query(
            "SELECT name, kind, value, count, min, max, bounds, buckets, temporality, service FROM metric_points FINAL"
            " WHERE project = {project:String} ORDER BY name, value",
            {"project": "p"},
        )
        assert [tuple(map(str, row[:4])) for row in rows] == [
            ("gen_ai.client.operation.duration", "exponential_histogram", "7.5", "3"),
            ("gen_ai.client.token.usage", "histogram", "120", "3"),
            ("gen_ai.client.token.usage", "histogram", "900", "3"),
            ("gen_ai.in_flight", "gauge", "4", "1"),
            ("gen_ai.old", "summary", "3", "2"),
            ("gen_ai.spent", "sum", "0", "1"),
        ]
        assert rows[0][6:8] == [[2.0, 4.0, 8.0], [1, 1, 1, 0]]
        assert rows[1][4:] == [1.0, 120.0, [10.0, 1000.0], [1, 2, 0], "delta", "shop"]
        documented = re.search(r"```sql\n(.*?)```", REFERENCE.read_text("utf-8"), re.DOTALL)
        assert documented is not None
        found = await engine.query(documented[1].strip(), {"project": "p"})
        assert [(row[0], float(str(row[1]))) for row in found] == [("large", 900.0), ("small", 120.0)]
    finally:
        await engine.close()
