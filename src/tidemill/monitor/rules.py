"""Alert rules: conditions in CEL over what a run found. Pure.

What can be read: `drift` (verdict, alarm, p_value), `tests.NAME` (statistic, p_value, p_corrected, alarm), `topics` (new, up,
down, gone), `window` (n, errors), `quality.METRIC` (mean, low, high, n), `false_alarms` (rate).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from tidemill.core.conditions import Condition
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.suggest import did_you_mean

_KEY: Final = re.compile(r"failed: '(\w+)'$")
_OF_DRIFT: Final = frozenset({"drift", "tests", "topics", "false_alarms"})
_TEST: Final[JsonObject] = {"statistic": 0.5, "p_value": 0.5, "p_corrected": 0.5, "alarm": False}
_METRIC: Final[JsonObject] = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 100}


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """Whether a rule held; None, with the reason, when that could not be said. `values` are those that it read."""

    holds: bool | None
    reason: str = ""
    values: JsonObject


def check_rule(text: str, *, tests: Sequence[str], metrics: Sequence[str]) -> None:
    """Raise `Invalid` for a condition that does not compile, or that reads what this monitor does not measure."""
    condition = Condition(text)
    example = _example(tests=tests, metrics=metrics)
    for name in sorted(condition.names):
        if name not in example:
            hint = did_you_mean(name, example)
            raise Invalid(f"the condition {text!r} reads {name!r}, which this monitor does not measure", hint=hint)
    try:
        condition.holds(example)
    except Invalid as error:
        known = ", ".join(f"{name}.{{{', '.join(cast('JsonObject', value))}}}" for name, value in example.items())
        key = _KEY.search(error.message)
        message = f"the condition {text!r} reads {key[1]!r}, which is not measured" if key else error.message
        raise Invalid(message, hint=f"This monitor measures {known}.") from error


def judge(text: str, values: Mapping[str, Json]) -> Held:
    """Whether a condition holds for what was found. What reads drift where drift is undecidable is never held to hold."""
    condition = Condition(text)
    read: dict[str, Json] = {name: values.get(name) for name in sorted(condition.names)}
    drift = cast("JsonObject", values.get("drift") or {})
    if condition.names & _OF_DRIFT and drift.get("verdict") not in {"drift", "no_drift_shown"}:
        return Held(holds=None, reason="drift is undecidable", values=read)
    try:
        return Held(holds=condition.holds(values), values=read)
    except Invalid as error:
        return Held(holds=None, reason=error.message, values=read)


def _example(*, tests: Sequence[str], metrics: Sequence[str]) -> Mapping[str, Json]:
    """What a run finds, in form."""
    of_drift: dict[str, Json] = {
        "drift": {"verdict": "no_drift_shown", "alarm": False, "p_value": 0.5},
        "tests": dict.fromkeys(tests, _TEST),
        "topics": {"new": 0, "up": 0, "down": 0, "gone": 0},
        "false_alarms": {"rate": 0.04},
    }
    quality: dict[str, Json] = {"quality": dict.fromkeys(metrics, _METRIC)} if metrics else {}
    return {**(of_drift if tests else {}), **quality, "window": {"n": 100, "errors": 0.0}}
