"""What the span store knows of a rollout: how each variant answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from tidemill.telemetry.engine.protocol import Engine

# Only what this platform recorded itself: what others send may carry the same attributes, and always has a dialect then.
_OF_ROLLOUT: Final = (
    "project = {project:String} AND root AND endpoint = {endpoint:String} AND start >= fromUnixTimestamp64Nano({since:Int64})"
    " AND rollout = {rollout:String} AND dialect = ''"
)
_ONCE: Final = "LIMIT 1 BY trace_id, span_id"


@dataclass(frozen=True, kw_only=True, slots=True)
class RolloutSpans:
    """Which root spans are meant: those that a rollout marked, from `since_ns` on."""

    project: str
    endpoint: str
    rollout: str
    since_ns: int

    @property
    def parameters(self) -> dict[str, object]:
        """What the queries are bound to."""
        return {"project": self.project, "endpoint": self.endpoint, "rollout": self.rollout, "since": self.since_ns}


_ASKER: Final = "multiIf(user != '', concat('u', user), session != '', concat('s', session), concat(trace_id, span_id))"


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantCounts:
    """Requests of one variant and how many of them failed.

    `askers` sent them: users, sessions where no user is named, else each request by itself. The rest are sums over askers: of
    their requests squared, their errors squared, and their requests times their errors.
    """

    requests: int = 0
    errors: int = 0
    askers: int = 0
    requests_squared: int = 0
    errors_squared: int = 0
    products: int = 0


async def count_variants(engine: Engine, spans: RolloutSpans) -> Mapping[str, VariantCounts]:
    """By variant; one that nobody met is not in it."""
    rows = await engine.query(
        "SELECT variant, sum(n), sum(failed), count(), sum(n * n), sum(failed * failed), sum(n * failed) FROM"  # noqa: S608  (bound parameters)
        " (SELECT variant, asker, count() AS n, countIf(status = 'error') AS failed FROM"
        f" (SELECT variant, {_ASKER} AS asker, status FROM spans WHERE {_OF_ROLLOUT} {_ONCE})"
        " GROUP BY variant, asker) GROUP BY variant",
        spans.parameters,
    )
    return {str(row[0]): VariantCounts(**dict(zip(_SUMS, cast("list[int]", row[1:]), strict=True))) for row in rows}


_SUMS: Final = ("requests", "errors", "askers", "requests_squared", "errors_squared", "products")


async def latency_ranks(engine: Engine, spans: RolloutSpans, *, variant: str, ranks: Sequence[int]) -> Sequence[float]:
    """The latencies, in milliseconds, that stand at these places (from 1) among a variant's answered requests in order."""
    picked = ", ".join(f"sorted[{rank:d}]" for rank in ranks)
    rows = await engine.query(
        f"SELECT {picked} FROM (SELECT arraySort(groupArray(duration_ns)) AS sorted FROM (SELECT duration_ns FROM spans"  # noqa: S608  (numbers, and bound parameters)
        f" WHERE {_OF_ROLLOUT} AND status != 'error' AND variant = {{variant:String}} {_ONCE}))",
        {**spans.parameters, "variant": variant},
    )
    return [cast("int", each) / 1e6 for each in rows[0]]


async def variants_of(engine: Engine, spans: RolloutSpans, trace_ids: Sequence[str]) -> Mapping[str, str]:
    """The variant that answered, by trace, for those traces that the rollout marked."""
    if not trace_ids:
        return {}
    rows = await engine.query(
        f"SELECT DISTINCT toString(trace_id), variant FROM spans"  # noqa: S608  (bound parameters)
        f" WHERE {_OF_ROLLOUT} AND trace_id IN {{traces:Array(String)}}",
        {**spans.parameters, "traces": list(trace_ids)},
    )
    return {str(row[0]): str(row[1]) for row in rows}
