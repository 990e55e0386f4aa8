"""Answers about routes: several models behind one name."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict


class RouteShape(TypedDict):
    """A route, with the references of its targets."""

    ref: str
    description: str
    strategy: str
    targets: list[str]


class WindowShape(TypedDict):
    """Attempts of the breaker's window."""

    succeeded: int
    failed: int


class LatencyShape(TypedDict):
    """Milliseconds over the last minute; `average` jumps to a peak and comes down slowly."""

    p50: float
    p95: float
    average: float


class SeenTargetShape(TypedDict):
    """What a server saw of one target. `opens_in` and `cooling` are in seconds; `share` is of what all targets served."""

    model: str
    weight: float
    order: int
    when: str | None
    after: list[str]
    share: float | None
    breaker: Literal["closed", "open", "half_open"]
    opens_in: float
    window: WindowShape
    cooling: float
    outstanding: int
    attempts: int
    served: int
    hedged: int
    lost: int
    failures: dict[str, int]
    last_failure: str | None
    retries_left: float
    latency_ms: LatencyShape | None
    first_token_ms: LatencyShape | None


class SeenRouteShape(TypedDict):
    """A route as one server has seen it since it began."""

    ref: str
    process: str
    environment: str
    route: str
    digest: str
    strategy: str
    requests: int
    unserved: int
    hedges_left: float
    targets: list[SeenTargetShape]
