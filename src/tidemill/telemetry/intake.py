"""Taking telemetry that others send: within a budget of memory, fairly between projects, on disk before it is acknowledged."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, TypeAlias, TypeVar

import anyio.to_thread
from msgspec.structs import replace

from tidemill.core.clock import Clock
from tidemill.core.records import SpanRecord
from tidemill.telemetry.otlp.answers import Form, Signal, Taken
from tidemill.telemetry.otlp.raw import RawSpan, as_it_came
from tidemill.telemetry.otlp.split import split_request
from tidemill.telemetry.otlp.tally import Tally
from tidemill.telemetry.questions.joined import mark_event
from tidemill.telemetry.questions.scores import TraceScore
from tidemill.telemetry.room import Room, Share
from tidemill.telemetry.sampling import sender_weight
from tidemill.telemetry.schema.metric_points import TABLE as METRIC_POINTS
from tidemill.telemetry.store import Telemetry
from tidemill.telemetry.turns import Turns

BUDGET_BYTES: Final = 192 * 1024 * 1024
"""Bytes of requests that are in memory at once, after they were unpacked."""
_TURN_SECONDS: Final = 0.002
_TOGETHER: Final = 150  # spans that are written together at least, because a block costs less than its rows
_PART: Final = 256 * 1024  # bytes that are parsed at once, well below a turn
_UNDERWAY: Final = 32  # slices of one request that wait for the disk before the next is read
Then: TypeAlias = Callable[[SpanRecord], SpanRecord | None]
_Request = TypeVar("_Request")
_Given = TypeVar("_Given")
_Made = TypeVar("_Made")
_NOT_UNDERSTOOD: Final = "spans were not understood and are kept as they came; the server's log says why"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What became of a file: its format, the spans taken and rejected, the scores of them, and what there is to say."""

    form: str
    spans: int
    rejected: int
    scores: int
    message: str


class Intake:
    """Takes requests. On one event loop only. `weight` is a project's weight in the sharing of memory and time."""

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        clock: Clock,
        budget: int = BUDGET_BYTES,
        weight: Callable[[str], float] = lambda _: 1.0,
    ) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self.accepted = self.rejected = 0
        self._room = Room(budget, weight=weight)
        self._turns = Turns(weight=weight)

    @property
    def room(self) -> Room:
        """The budget, to be looked at."""
        return self._room

    def share(self, project: str) -> AbstractContextManager[Share]:
        """Room in memory for one request of a project; let it grow before bytes are read into it."""
        return self._room.share(project)

    async def take(self, project: str, body: bytes, *, signal: Signal, form: Form) -> Taken:
        """Take one request; what it held is on disk when this returns. Raises `Invalid`, `StorageFull` or `Unavailable`."""
        match signal:
            case "traces":
                return await self.traces(project, body, form=form)
            case "logs":
                return await self.logs(project, body, form=form)
            case "metrics":
                return await self.metrics(project, body, form=form)

    async def traces(self, project: str, body: bytes, *, form: Form) -> Taken:
        """Take spans; they are on disk when it returns. Raises `Invalid`, `StorageFull` or `Unavailable`."""
        # heavy imports: only a server that is sent something needs them
        from tidemill.telemetry.otlp.parse import parse_traces  # noqa: PLC0415
        from tidemill.telemetry.otlp.traces import read_spans  # noqa: PLC0415

        tally, now_ns = Tally(), self._clock.now_ns()
        requests = await self._parsed(project, body, form, lambda part: parse_traces(part, form=form, tally=tally))
        await self.spans(project, _each(requests, lambda request: read_spans(request, tally, now_ns=now_ns)), tally)
        return Taken(rejected=tally.rejected, message=tally.message)

    async def logs(self, project: str, body: bytes, *, form: Form) -> Taken:
        """Take log records that say something of a span. Raises as `traces`."""
        from tidemill.telemetry.otlp.logs import read_logs  # noqa: PLC0415  (the same)
        from tidemill.telemetry.otlp.parse import parse_logs  # noqa: PLC0415

        tally, now_ns = Tally(), self._clock.now_ns()
        requests = await self._parsed(project, body, form, lambda part: parse_logs(part, form=form, tally=tally))
        records = _each(requests, lambda request: read_logs(request, tally, now_ns=now_ns))
        await self.spans(project, records, tally, then=mark_event)
        return Taken(rejected=tally.rejected, message=tally.message)

    async def metrics(self, project: str, body: bytes, *, form: Form) -> Taken:
        """Take points of metrics. Raises as `traces`."""
        from tidemill.telemetry.otlp.metrics import read_metrics  # noqa: PLC0415  (the same)
        from tidemill.telemetry.otlp.parse import parse_metrics  # noqa: PLC0415

        tally, now_ns = Tally(), self._clock.now_ns()
        requests = await self._parsed(project, body, form, lambda part: parse_metrics(part, form=form, tally=tally))
        points = _each(requests, lambda request: read_metrics(request, tally, project=project, now_ns=now_ns))
        while True:
            async with self._turns.turn(project):
                rows, is_last = _slice(points, _same)
            if rows:
                cleaned = await self._telemetry.gate.clean_rows(project, rows, part="attributes")
                await self._telemetry.append_rows(METRIC_POINTS, cleaned)
            if is_last:
                return Taken(rejected=tally.rejected, message=tally.message)

    async def file(self, project: str, content: bytes, *, name: str, form: str = "") -> Imported:
        """Take the traces of a file, OTLP or another platform's export; `form` names its format, empty to find out.

        Raises `Invalid` for a file that is damaged anywhere, of which nothing was taken then; else as `traces`.
        """
        from tidemill.telemetry.otlp.files import read_file  # noqa: PLC0415  (the same)

        tally, now_ns = Tally(), self._clock.now_ns()
        found = await anyio.to_thread.run_sync(
            lambda: read_file(content, name=name, project=project, form=form, tally=tally, now_ns=now_ns)
        )
        await self.spans(project, found.spans, tally)
        await self.spans(project, found.logs, tally, then=mark_event)
        said = await self._cleaned(project, found.scores)
        await self._telemetry.put_scores(said)
        return Imported(form=found.form, spans=tally.accepted, rejected=tally.rejected, scores=len(said), message=tally.message)

    async def _cleaned(self, project: str, scores: Sequence[TraceScore]) -> Sequence[TraceScore]:
        """What was said, without what the project's rules hide; judges are no people (`langfuse:eval`)."""
        rules = await self._telemetry.gate.rules(project)
        cleaned = [
            dataclasses.replace(
                each,
                author=each.author if each.source == "evaluation" or ":" in each.author else rules.user(each.author),
                text=rules.text(each.text),
            )
            for each in scores
        ]
        return [each for each in cleaned if each.value is not None or each.text]

    async def _parsed(self, project: str, body: bytes, form: Form, parse: Callable[[bytes], _Request]) -> Sequence[_Request]:
        """The request, in parts that take a turn each; all of them are parsed before anything of the first is taken."""
        if len(body) <= _PART:
            async with self._turns.turn(project):
                return [parse(body)]
        if form == "json":  # it cannot be cut; on a thread it leaves room for others between its steps
            return [await anyio.to_thread.run_sync(parse, body)]
        requests: list[_Request] = []
        for part in await anyio.to_thread.run_sync(lambda: list(split_request(body, most=_PART))):
            async with self._turns.turn(project):
                requests.append(parse(part))
        return requests

    async def spans(self, project: str, spans: Iterator[RawSpan | None], tally: Tally, *, then: Then | None = None) -> None:
        """Take spans as they come out of a reader; None is one that it rejected. On disk when it returns.

        `then` is done to each record before it is kept.
        """
        from tidemill.telemetry.dialects import read_span  # noqa: PLC0415  (the tables of all dialects)

        def read(raw: RawSpan) -> SpanRecord | None:
            try:
                record = read_span(raw, project=project)
            except Exception:  # noqa: BLE001  (a fault of ours must cost nobody a span)
                if _NOT_UNDERSTOOD not in tally.warnings:
                    _log.exception("span %s of trace %s was not understood", raw.span_id, raw.trace_id)
                tally.warn(_NOT_UNDERSTOOD)
                record = as_it_came(raw, project=project)
            if raw.trace_state and (weight := sender_weight(raw.trace_state)) != 1:
                record = replace(record, weight=record.weight * weight)
            return record if then is None else then(record)

        underway, gathered, received_ns = _Underway(), list[SpanRecord](), self._clock.now_ns()
        is_last = False
        try:
            while not is_last:
                async with self._turns.turn(project):
                    records, is_last = _slice(spans, read)
                gathered += records
                if gathered and (is_last or len(gathered) >= _TOGETHER):
                    tally.accepted += len(gathered)
                    self.accepted += len(gathered)
                    await underway.add(self._telemetry.append(gathered, received_ns=received_ns))
                    gathered = []
        finally:
            self.rejected += tally.rejected
            await underway.finish()
        underway.check()


def _each(requests: Sequence[_Request], read: Callable[[_Request], Iterator[_Made]]) -> Iterator[_Made]:
    for request in requests:
        yield from read(request)


def _same(row: bytes) -> bytes:
    return row


def _slice(source: Iterator[_Given | None], read: Callable[[_Given], _Made | None]) -> tuple[list[_Made], bool]:
    """What can be read in one turn, and whether that was the rest."""
    made: list[_Made] = []
    until = perf_counter() + _TURN_SECONDS
    for each in source:
        if each is not None and (one := read(each)) is not None:
            made.append(one)
        if perf_counter() > until:
            return made, False
    return made, True


class _Underway:
    """Writes that are not acknowledged yet: at most a few at once; the first failure is kept."""

    def __init__(self) -> None:
        self._tasks = set[asyncio.Task[None]]()
        self._failure: BaseException | None = None

    async def add(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin a write; wait when too many are underway."""
        self._tasks.add(asyncio.create_task(work))
        if len(self._tasks) >= _UNDERWAY:
            await self._wait(asyncio.FIRST_COMPLETED)
            self.check()

    async def finish(self) -> None:
        """Wait for all of them."""
        if self._tasks:
            await self._wait(asyncio.ALL_COMPLETED)

    def check(self) -> None:
        """Raise the first failure."""
        if self._failure is not None:
            raise self._failure

    async def _wait(self, until: str) -> None:
        done, self._tasks = await asyncio.wait(self._tasks, return_when=until)
        for each in done:
            failure = each.exception()
            self._failure = self._failure or failure
