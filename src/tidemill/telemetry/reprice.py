"""Gives stored spans the cost that today's prices say they had: by a row of each that came later, so the numbers follow."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from tidemill.core.chat import Usage
from tidemill.core.json import Json, JsonObject
from tidemill.pricing import Overrides, price_of
from tidemill.telemetry.costing import AUDIO, IMAGES, SENT, SOURCE, used
from tidemill.telemetry.engine.protocol import Engine
from tidemill.telemetry.questions.trace import BILLED_KINDS
from tidemill.telemetry.row import decode_value
from tidemill.telemetry.schema.rollups import TOKENS

_AT_ONCE: Final = 1000
_NAMED: Final = (SOURCE, SENT, *IMAGES, *AUDIO)
_MATCHING: Final = (
    "project = {project:String}"
    " AND start >= fromUnixTimestamp64Nano({from:Int64}) AND start < fromUnixTimestamp64Nano({to:Int64})"
    " AND kind IN {kinds:Array(String)} AND match(model, {model:String})"
)
_KEY: Final = "concat(toString(trace_id), toString(span_id))"
_PAGE: Final = (
    f"SELECT {_KEY} AS key, toUnixTimestamp64Nano(start), provider, model, dialect, cost, {', '.join(TOKENS)},"  # noqa: S608  (names of ours)
    f" arrayMap(name -> attributes[name], {{named:Array(String)}}) FROM spans FINAL WHERE {_MATCHING}"
    " AND key > {after:String} ORDER BY key LIMIT {most:UInt32}"
)
_HOURS: Final = (
    f"SELECT toUnixTimestamp(toStartOfHour(start)) AS hour, count() FROM spans WHERE {_MATCHING} GROUP BY hour ORDER BY hour"  # noqa: S608  (the same)
)
_CHANGE: Final = (
    "INSERT INTO spans SELECT * REPLACE (transform(" + _KEY + ", {keys:Array(String)}, {costs:Array(Float64)}, 0.) AS cost,"  # noqa: S608  (the same)
    " received + toIntervalNanosecond(1) AS received,"
    " mapUpdate(attributes, if(notEmpty(transform(" + _KEY + ", {keys:Array(String)}, {sent:Array(String)}, '')),"
    " map({source:String}, transform(" + _KEY + ", {keys:Array(String)}, {sources:Array(String)}, ''),"
    " {sent_name:String}, transform(" + _KEY + ", {keys:Array(String)}, {sent:Array(String)}, '')),"
    " map({source:String}, transform(" + _KEY + ", {keys:Array(String)}, {sources:Array(String)}, '')))) AS attributes)"
    f" FROM spans FINAL WHERE {_MATCHING} AND {_KEY} IN {{keys:Array(String)}}"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which spans: of models that match a pattern with `*`, that start in `[from_ns, to_ns)`.

    A cost that the sender gave stays unless `overrule` says otherwise; then it is kept beside the new one.
    """

    project: str
    model: str
    from_ns: int
    to_ns: int
    overrule: bool = False

    def bound(self, **more: object) -> dict[str, object]:
        """What the queries are bound to."""
        return {
            "project": self.project, "from": self.from_ns, "to": self.to_ns, "kinds": sorted(BILLED_KINDS),
            "model": _pattern(self.model), **more,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Repriced:
    """How far it is, and in the end what it came to. Costs are those of the spans that change, in US dollars."""

    spans: int = 0
    changed: int = 0
    kept: int = 0
    """Whose cost the sender gave."""
    unpriced: int = 0
    """For which nothing has a price; their cost stays."""
    before: float = 0.0
    after: float = 0.0

    def as_json(self) -> JsonObject:
        """For an answer."""
        return {
            "spans": self.spans, "changed": self.changed, "kept": self.kept, "unpriced": self.unpriced,
            "before": self.before, "after": self.after, "difference": self.after - self.before,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class _Change:
    key: str
    cost: float
    source: str
    sent: str


async def reprice(engine: Engine, wanted: Wanted, overrides: Overrides, *, dry_run: bool) -> AsyncIterator[Repriced]:
    """Work through the spans, an hour's at a time, and tell how far it is. Run again it finds nothing left to change.

    Raises `Unavailable`, `EngineDied` or `Refused`; what was changed by then is right.
    """
    done = Repriced()
    for hour, _ in await engine.query(_HOURS, wanted.bound()):
        start = cast("int", hour) * 10**9
        within = replace(wanted, from_ns=max(wanted.from_ns, start), to_ns=min(wanted.to_ns, start + 3600 * 10**9))
        after = ""
        while True:
            rows = await engine.query(_PAGE, within.bound(named=list(_NAMED), after=after, most=_AT_ONCE))
            if not rows:
                break
            after = str(rows[-1][0])
            done, changes = _changes(rows, wanted, overrides, done)
            if changes and not dry_run:
                await _apply(engine, within, changes)
            yield done
    yield done


def _changes(
    rows: Sequence[Sequence[object]], wanted: Wanted, overrides: Overrides, done: Repriced
) -> tuple[Repriced, Sequence[_Change]]:
    found: list[_Change] = []
    for row in rows:
        key, at_ns, provider, model, dialect = cast("tuple[str, int, str, str, str]", tuple(row[:5]))
        cost = cast("float | None", row[5])
        usage = Usage(**dict(zip(TOKENS, cast("list[int]", row[6 : 6 + len(TOKENS)]), strict=True)))
        said = dict(zip(_NAMED, cast("list[str]", row[6 + len(TOKENS)]), strict=True))
        given: Mapping[str, Json] = {name: decode_value(text) for name, text in said.items() if text}
        done = replace(done, spans=done.spans + 1)
        by_sender = cost is not None and SOURCE not in given and bool(dialect)
        if by_sender and not wanted.overrule:
            done = replace(done, kept=done.kept + 1)
            continue
        images, seconds = used(given, None)
        price = price_of(provider, model, usage, at_ns=at_ns, overrides=overrides, images=images, audio_seconds=seconds)
        if price is None:
            done = replace(done, unpriced=done.unpriced + 1)
        elif cost is None or not math.isclose(price.cost, cost, rel_tol=1e-12, abs_tol=1e-15):
            sent = repr(cost) if by_sender else said[SENT]
            found.append(_Change(key=key, cost=price.cost, source=f'"{price.source}"', sent=sent))
            done = replace(done, changed=done.changed + 1, before=done.before + (cost or 0.0), after=done.after + price.cost)
    return done, found


async def _apply(engine: Engine, within: Wanted, changes: Sequence[_Change]) -> None:
    await engine.execute(
        _CHANGE,
        within.bound(
            keys=[each.key for each in changes],
            costs=[each.cost for each in changes],
            sources=[each.source for each in changes],
            sent=[each.sent for each in changes],
            source=SOURCE,
            sent_name=SENT,
        ),
    )


def _pattern(model: str) -> str:
    """A pattern with `*` as a regular expression that takes the whole name."""
    plain = "".join(".*" if char == "*" else char if char.isalnum() else f"\\{char}" for char in model)
    return f"(?i)^{plain}$"
