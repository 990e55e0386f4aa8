"""Points of metrics that tell of generative AI (`gen_ai.client.token.usage`, `gen_ai.client.operation.duration` …) as rows.

A histogram's value is its sum, and its buckets stay; an exponential one gets the bounds that it stands for. Rows go into the
table `metric_points` of `metric_points_schema.py`; a point that is sent again is the same row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2s
from typing import TYPE_CHECKING, Any, Final

import orjson

from tidemill.core.json import Json, JsonObject
from tidemill.telemetry.otlp.tally import Tally
from tidemill.telemetry.otlp.traces import EARLIEST_NS, LATEST_NS
from tidemill.telemetry.otlp.values import read_attributes
from tidemill.telemetry.row import encode_value

if TYPE_CHECKING:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

PREFIX: Final = "gen_ai."
_NOT_KEPT: Final = "points of metrics that say nothing of generative AI were not kept"
_TEMPORALITY: Final = ("", "delta", "cumulative")
_MOST_BUCKETS: Final = 1000


def read_metrics(request: ExportMetricsServiceRequest, tally: Tally, *, project: str, now_ns: int) -> Iterator[bytes | None]:
    """A row a point; None in the place of what is not kept."""
    for of_resource in request.resource_metrics:
        resource = read_attributes(of_resource.resource.attributes, tally)
        for of_scope in of_resource.scope_metrics:
            shared = {"project": project, "received": now_ns, "scope": of_scope.scope.name, **_resource(resource)}
            for metric in of_scope.metrics:
                yield from _read_metric(metric, tally, shared)


def _resource(resource: Mapping[str, Json]) -> JsonObject:
    service = resource.get("service.name")
    return {"service": service if isinstance(service, str) else "", "resource": _pairs(resource)}


def _read_metric(metric: Metric, tally: Tally, shared: JsonObject) -> Iterator[bytes | None]:
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    data = getattr(metric, kind)
    if not metric.name.startswith(PREFIX):
        tally.warn(_NOT_KEPT, len(data.data_points))
        yield None
        return
    of_metric = {
        **shared, "name": metric.name, "unit": metric.unit, "kind": kind,
        "temporality": _TEMPORALITY[getattr(data, "aggregation_temporality", 0) % 3],
    }  # fmt: skip
    for point in data.data_points:
        if not EARLIEST_NS <= point.time_unix_nano < LATEST_NS:
            tally.reject("a point's time is outside the years 2000 to 2099; times are nanoseconds since 1970")
            yield None
            continue
        row = {**of_metric, **_read_point(point, kind), "attributes": _pairs(read_attributes(point.attributes, tally))}
        yield orjson.dumps({**row, "series": _series(row)})


def _read_point(point: Any, kind: str) -> JsonObject:
    start = point.start_time_unix_nano
    times = {"time": point.time_unix_nano, "start": start if EARLIEST_NS <= start < LATEST_NS else point.time_unix_nano}
    match kind:
        case "gauge" | "sum":
            value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
            return {**times, "value": _number(value), "count": 1}
        case "histogram":
            bounds, buckets = point.explicit_bounds[:_MOST_BUCKETS], point.bucket_counts[: _MOST_BUCKETS + 1]
            return {**times, **_summed(point), **_range(point), "bounds": list(bounds), "buckets": list(buckets)}
        case "exponential_histogram":
            bounds, buckets = _exponential(point)
            return {**times, **_summed(point), **_range(point), "bounds": list(bounds), "buckets": list(buckets)}
        case _:
            return {**times, **_summed(point)}


def _summed(point: Any) -> JsonObject:
    return {"value": _number(point.sum), "count": point.count}


def _range(point: Any) -> JsonObject:
    return {name: getattr(point, name) for name in ("min", "max") if point.HasField(name)}


def _exponential(point: Any) -> tuple[Sequence[float], Sequence[int]]:
    """Explicit bounds of the positive buckets: bucket i ends at base ** (offset + i + 1), with base 2 ** (2 ** -scale).

    https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
    """
    counts = list(point.positive.bucket_counts[:_MOST_BUCKETS])
    if abs(point.scale) > 20:
        return [], []
    step = 2.0**-point.scale
    powers = [(point.positive.offset + place) * step for place in range(len(counts) + 1)]
    below = point.zero_count + sum(point.negative.bucket_counts)
    return [2.0 ** max(-1000.0, min(1000.0, each)) for each in powers], [below, *counts, 0]


def _number(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _pairs(values: Mapping[str, Json]) -> dict[str, str]:
    return {key: encode_value(value) or "null" for key, value in values.items()}


def _series(row: JsonObject) -> int:
    """What tells one series of points from another, as a number."""
    told = [row[name] for name in ("scope", "service", "resource", "unit", "kind", "attributes")]
    return int.from_bytes(blake2s(orjson.dumps(told, option=orjson.OPT_SORT_KEYS), digest_size=8).digest(), "big")
