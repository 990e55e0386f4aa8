"""Questions of numbers: time series, quantiles and totals of spans by any dimension; two times or releases compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from tidemill.api.caller import AnyCaller, Body, Caller
from tidemill.api.router import Router
from tidemill.api.times import since_ns
from tidemill.api.traces_filter import read_filter
from tidemill.core.errors import Invalid
from tidemill.telemetry.expression import format_expression
from tidemill.telemetry.expression.syntax import And, Condition, Key
from tidemill.telemetry.numbers.question import Question, read_question

router = Router(tags=["traces"])
Names = Annotated[tuple[Annotated[str, Field(max_length=300)], ...], Field(max_length=20)]


class ComparedWith(Body):
    """What it is compared with: an earlier time, or two releases, of which the first is the one before."""

    from_: str | None = Field(None, alias="from")
    to: str | None = None
    releases: tuple[str, str] | None = None


class Query(Body):
    """What is measured (`requests`, `cost`, `latency.p95`, `score.NAME`, `metric.NAME.sum`, …), by what, and over which time.

    `from` is a time or so long ago (`24h`, which is what it is when it is missing). `of` says which spans: `requests` (first
    spans), `calls` (of models) or `spans`; without it, what `by` and `filter` are about. `order` is a measure, with `-` before
    it for the largest first.
    """

    measures: Names
    by: Names = ()
    of: str | None = None
    interval: str = "none"
    from_: str | None = Field(None, alias="from")
    to: str | None = None
    zone: str = Field("UTC", max_length=100)
    filter: str | None = Field(None, max_length=8000)
    order: str | None = Field(None, max_length=300)
    limit: int = Field(100, ge=1, le=1000)
    compare: ComparedWith | None = None


@router.post("/query")
async def query(call: AnyCaller, body: Query) -> dict[str, Any]:
    """A series a group, or with `compare` each group's differences; says where it was read, and whether it is an estimate."""
    telemetry = call.platform.telemetry
    if body.compare is None:
        return dict(await telemetry.ask_numbers(await _read(call, body)))
    if body.interval != "none":
        raise Invalid("a comparison has no interval", hint="Leave out `interval`, or ask for each series by itself.")
    before, after = await _sides(call, body, body.compare)
    return dict(await telemetry.compare_numbers(before, after))


async def _sides(call: Caller, body: Query, other: ComparedWith) -> tuple[Question, Question]:
    if (other.releases is None) == (other.from_ is None):
        raise Invalid("a comparison is with another time or of two releases", hint="Give compare.from and to, or releases.")
    if other.releases is not None:
        first, second = [await _read(call, body, release=each) for each in other.releases]
        return first, second
    return await _read(call, body, times=(other.from_, other.to)), await _read(call, body)


async def _read(
    call: Caller, body: Query, *, release: str | None = None, times: Sequence[str | None] | None = None
) -> Question:
    now_ns = call.platform.clock.now_ns()
    expression = await read_filter(call, body.filter)
    if release is not None:
        of_release = Condition(Key("column", "release", "text"), "=", (release,))
        expression = And((expression, await read_filter(call, format_expression(of_release))))
    start, end = times or (body.from_, body.to)
    return read_question(
        call.project, measures=body.measures, by=body.by, of=body.of, from_ns=since_ns(start, now_ns=now_ns),
        to_ns=since_ns(end, now_ns=now_ns), now_ns=now_ns, interval=body.interval, zone=body.zone, filter=expression,
        order=body.order, limit=body.limit,
    )  # fmt: skip
