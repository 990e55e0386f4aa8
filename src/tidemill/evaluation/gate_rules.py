"""What a gate asks, and what came of each thing that it asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tidemill.core.json import JsonObject

Result: TypeAlias = Literal["passed", "failed", "inconclusive", "error"]
Test: TypeAlias = Literal["superiority", "noninferiority"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckRule:
    """One line of a gate. `slice` is `field=value`; `margin` is in the metric's unit and above 0."""

    metric: str
    slice: str | None = None
    min: float | None = None
    max: float | None = None
    test: Test | None = None
    margin: float | None = None
    alpha: float = 0.05
    min_n: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class GateRule:
    """A gate: what each check asks, and what it is held against."""

    name: str
    checks: Sequence[CheckRule]
    against: str | None = None
    correction: Literal["holm", "none"] = "holm"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What came of one rule of one check."""

    metric: str
    rule: str
    result: Result
    reason: str
    value: float | None = None
    interval: tuple[float, float] | None = None
    n: int = 0
    p_value: float | None = None
    slice: str | None = None

    def to_json(self) -> JsonObject:
        """As INTERFACES shows it."""
        return {
            "metric": self.metric, "rule": self.rule, "value": self.value, "result": self.result, "reason": self.reason,
            "interval": None if self.interval is None else list(self.interval), "n": self.n, "p_value": self.p_value,
            "slice": self.slice,
        }  # fmt: skip
