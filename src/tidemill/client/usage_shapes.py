"""What was used, and how it stands against limits, as the control plane says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Required, TypedDict


class UsedJson(TypedDict, total=False):
    """What was used; `refused` counts requests that a limit turned away, `cost` is in US dollars.

    In lists `subject` says by whom (`key/ID`, `team/NAME`), by the day `day` says when (UTC).
    """

    subject: str
    day: str
    requests: Required[int]
    refused: int
    input_tokens: int
    output_tokens: int
    cost: Required[float]


class LimitJson(TypedDict, total=False):
    """One limit; `per` is None for calls at a time, `limit` where there is only a warning. Money is in US dollars."""

    unit: Required[Literal["requests", "tokens", "calls", "money"]]
    per: Literal["minute", "day", "month", "total"] | None
    limit: float | None
    soft: float
    used: float


class KeyUsageJson(TypedDict):
    """What a key used, day by day, and how it stands against its limits."""

    id: str
    days: Sequence[UsedJson]
    total: UsedJson
    limits: Sequence[LimitJson]
