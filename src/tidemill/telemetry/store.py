"""The one thing the rest of Tidemill needs for traces: take spans, keep them, show them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, Self

import anyio.to_thread

from tidemill.core.errors import MissingExtra, TidemillError
from tidemill.core.json import JsonObject
from tidemill.core.records import SpanRecord
from tidemill.telemetry.costing import Costs
from tidemill.telemetry.engine.embedded import EmbeddedEngine
from tidemill.telemetry.engine.protocol import Engine, EngineDied, is_installed
from tidemill.telemetry.engine.putting_back import RESTORE
from tidemill.telemetry.engine.statistics import Stored, Waiting, read_stored
from tidemill.telemetry.numbers.questions import NumberQuestions
from tidemill.telemetry.privacy.gate import Gate
from tidemill.telemetry.questions import lineage, variants
from tidemill.telemetry.questions import spans as query
from tidemill.telemetry.questions.traces import TraceQuestions
from tidemill.telemetry.questions.variants import RolloutSpans
from tidemill.telemetry.rollups.rebuild import Rollups
from tidemill.telemetry.spool.frames import Rows
from tidemill.telemetry.spool.gathering import AllMoves, Gathering
from tidemill.telemetry.spool.handed import TO_SAMPLE, HandedSpool, HandingOver
from tidemill.telemetry.spool.projector import Projector
from tidemill.telemetry.spool.segments import bytes_after
from tidemill.telemetry.spool.spool import Spool
from tidemill.telemetry.tail_sampling import HandedTail, TailSampler
from tidemill.telemetry.together import Together

_FLUSH_SECONDS: Final = 20.0


class Others(Protocol):
    """Other processes that take spans for the same folder and hand them over."""

    async def sync(self) -> None:
        """Return when every span that they took so far is safe on disk."""
        ...

    async def turn(self) -> None:
        """The same, in segments that they write no more."""
        ...


class Telemetry(NumberQuestions, TraceQuestions):
    """Spans of one data folder: spooled in `spool/`, stored in `spans/`.

    Nothing is started but what is used: the store's process begins with the first span to store or the first question (and with
    `start`, where spans are stored already), and ends after `idle_seconds` without either. Without the extra `analytics`, spans
    stay spooled and questions raise
    `MissingExtra`. Use from one event loop; `sink` from any thread.
    """

    def __init__(
        self,
        folder: Path,
        *,
        idle_seconds: float = 120.0,
        gate: Gate | None = None,
        engine: Engine | None = None,
        others: Others | None = None,
        hands_over: str | None = None,
    ) -> None:
        """`engine` is the span store, where it is not the embedded one.

        `others` hand their spans over to this one. `hands_over` is the name of one that does: it stores nothing itself.
        """
        self.gate = gate or Gate()
        self.costs = Costs()
        self._folder = folder
        self._others = others
        self._handing = None if hands_over is None else HandingOver(folder / "spool", hands_over)
        at = folder / "spool" if self._handing is None else self._handing.folder
        self._spool = Spool(at, on_durable=self._on_durable)
        self._engine: Engine = engine or EmbeddedEngine(folder / "spans", idle_seconds=idle_seconds)
        self._tail: TailSampler | HandedTail = HandedTail(self._spool)
        if self._handing is None:
            self._tail = TailSampler(folder / "held", self._spool, tail_of=self.gate.tail_of)
        self._projector: Projector | None = None
        self._gathering: Gathering | None = None
        self._moves: AllMoves | None = None
        self._following: asyncio.Task[None] | None = None
        self.rollups = Rollups(self._engine)
        self._task: asyncio.Task[None] | None = None
        self._rollups_task: asyncio.Task[None] | None = None
        self._warming: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._together: list[Together] = []

    async def start(self) -> None:
        """Begin to store what is and what will be spooled, in the background. Returns at once."""
        self._loop = asyncio.get_running_loop()
        await self._tail.start()
        if is_installed() and self._handing is None:
            self._projector = Projector(self._spool, self._engine, screen=self.gate.screen)
            self._task = asyncio.create_task(self._projector.run(), name="span projector")
            self._rollups_task = asyncio.create_task(self.rollups.run(), name="roll-ups")
            self._gathering = Gathering(
                self._spool.folder, project=self._project, on_more=self.rollups.wake, is_lasting=self._others is not None
            )
            await self._gathering.start()
            if self._others is not None:
                self._moves = self._gathering.moves
                self._following = asyncio.create_task(self._moves.follow(self._projector), name="spool moves")
            if self._has_spans():
                self._warming = asyncio.create_task(self._warm(), name="span store warming")

    async def stop(self) -> None:
        """Make every span safe on disk and end. What is not in the store yet goes there after the next start."""
        for each in self._together:
            each.close()
        await anyio.to_thread.run_sync(self.gate.close)
        if self._gathering is not None:
            await self._gathering.stop()
        await self._tail.stop()
        await anyio.to_thread.run_sync(self._spool.close)
        if self._handing is not None:
            self._handing.note(self._spool.durable)
            self._handing.close()
        for task in (self._following, self._warming, self._task, self._rollups_task):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self._engine.close()
        self._loop = self._warming = self._task = self._rollups_task = self._following = None
        self._projector = self._gathering = self._moves = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def sink(self, record: SpanRecord) -> None:
        """Take a finished span. Never waits and never raises; when the disk is full for long, spans are dropped and counted."""
        self.gate.put(record, self._take)

    def before(self, sink: Callable[[SpanRecord], None]) -> Callable[[SpanRecord], None]:
        """A sink whose spans go to `sink`, and from there here, some at once: see `together.py`. Call it on the event loop."""
        together = Together(sink)
        self._together.append(together)
        return together

    def catch_up(self) -> None:
        """Take what was finished just now."""
        for each in self._together:
            each.hand_on()

    async def append(self, records: Sequence[SpanRecord], *, received_ns: int | None = None) -> None:
        """Take spans that somebody else made and return when they are safe. Raises `StorageFull` or `Unavailable`.

        Cheapest by some hundred at once. `received_ns` is when they came (default: each one's end); of two spans with one id
        the one received last stays.
        """
        wait: list[SpanRecord] = []
        go: list[SpanRecord] = []
        for each in await self.gate.pass_all(records):
            where = go if self.gate.tail_of(each.project) is None else wait  # asked once: the rules may change at any time
            where.append(self._with_cost(each))
        if wait:
            await self._tail.append(wait, received_ns=received_ns)
        if go:
            await self._spool.append(go, received_ns=received_ns)

    async def keep(self, project: str, trace_id: str) -> None:
        """Somebody says something of a trace: where whole traces are sampled, it is kept and can be shown."""
        if self.gate.tail_of(project) is not None:
            self.catch_up()
            await self.gate.drained()
            await self._tail.keep(project, trace_id)

    def _with_cost(self, record: SpanRecord) -> SpanRecord:
        return self.costs.priced(record, self.gate.latest(record.project))

    def _take(self, record: SpanRecord) -> None:
        record = self._with_cost(record)
        if self.gate.tail_of(record.project) is None:
            self._spool.put(record)
        else:
            self._tail.put(record)

    async def append_rows(self, table: str, rows: Sequence[bytes]) -> None:
        """Take rows of any table of the span store and return when they are safe on disk; they reach the store as spans do.

        Each row is a JSON object without a line feed (`orjson.dumps`), its keys the columns; what is missing has the column's
        default. A row may be inserted more than once after a crash: see `spool.py`. Raises `StorageFull` or `Unavailable`.
        """
        await self._spool.append_rows(table, rows)

    def put_rows(self, table: str, rows: Sequence[bytes]) -> bool:
        """As `append_rows`, without waiting; from any thread. False when they were dropped because too much waits already."""
        return self._spool.put_rows(table, rows)

    async def sync(self) -> None:
        """Return when every span taken so far is safe on disk. Raises `StorageFull` or `Unavailable`."""
        self.catch_up()
        await self.gate.drained()
        await self._spool.sync()
        self._note_safe()

    async def turn(self) -> None:
        """`sync`, in files that are written no more."""
        self.catch_up()
        await self.gate.drained()
        await self._spool.turn()
        self._note_safe()

    async def flush(self, *, timeout: float = _FLUSH_SECONDS) -> None:
        """Return when every span taken so far is safe and, with the extra `analytics`, can be queried."""
        await self.sync()
        if self._others is not None:
            await self._others.sync()
        await self._reach(timeout)

    async def renew_spool(self, *, timeout: float = _FLUSH_SECONDS) -> None:
        """Return when nothing of what was taken so far is in the spool's files any more. Raises as `flush`."""
        await self.flush(timeout=timeout)
        await self._spool.turn()
        if self._others is not None:
            await self._others.turn()
        await self._reach(timeout)

    async def _reach(self, timeout: float) -> None:
        """Return when all that is safe on disk can be queried. What others handed on to this spool while it was read, too."""
        if self._gathering is not None and self._gathering.is_busy:
            await self._gathering.reach(timeout=timeout)
            await self._spool.sync()
        if self._projector is not None:
            await self._projector.reach(self._spool.durable, timeout=timeout)

    @property
    def engine(self) -> Engine:
        """The span store itself, for what erases or thins it out."""
        return self._engine

    @property
    def spool_folder(self) -> Path:
        """Where spans wait."""
        return self._spool.folder

    @property
    def problem(self) -> TidemillError | None:
        """What keeps spans from disk or from the store at the moment; None when all is well."""
        here = self._spool.problem or (self._projector.problem if self._projector else None)
        return here or (self._gathering.problem if self._gathering else None)

    @property
    def dropped(self) -> int:
        """Spans lost since the start because the disk refused them for too long."""
        return self._spool.dropped + self.gate.dropped + self._tail.dropped

    @property
    def sampled_out(self) -> int:
        """Spans since the start that were left out by the sampling of whole traces."""
        return self._tail.sampled_out

    @property
    def rejected(self) -> int:
        """Spans since the start that the store could not read; they lie in `spool/rejected.jsonl`."""
        there = self._gathering.all_rejected if self._gathering else 0
        return (self._projector.rejected if self._projector else 0) + there

    def waiting(self) -> Waiting:
        """What waits and what went wrong. Looks at the spool's files and does not wake the store."""
        position = self._projector.position if self._projector else self._spool.position()
        gathering = self._gathering
        waits = [bytes_after(self._spool.folder, position), *(gathering.waiting() if gathering else ())]
        since = min((each for _, each in waits if each is not None), default=None)
        damaged = dict(gathering.damaged) if gathering else {}
        return Waiting(
            spool_bytes=sum(size for size, _ in waits),
            lag_seconds=0.0 if since is None else max(0.0, time.time() - since),
            dropped=self.dropped,
            rejected=self.rejected,
            damaged=damaged | dict(self._projector.damaged) if self._projector else damaged,
            problem=str(self.problem) if self.problem else None,
        )

    async def stored(self, *, wake: bool = True) -> Stored | None:
        """What is in the store; with `wake` false, None while its process rests. Raises `MissingExtra` or `Unavailable`."""
        if not wake and self._engine.pid is None:
            return None
        return await read_stored(self._engine)

    @property
    def engine_pid(self) -> int | None:
        """The process id of the store's process while it runs."""
        return self._engine.pid

    async def get_trace(self, project: str, trace_id: str) -> JsonObject:
        """The trace with its spans, by its id or a beginning or end of it that is unique. Raises `NotFound` or `Invalid`."""
        await self._ready()
        return await query.get_trace(self._engine, project, trace_id)

    async def find_trace(self, project: str, trace_id: str) -> query.FoundTrace:
        """That a trace is there, and which spans it has, without their content. Raises `NotFound` or `Invalid`."""
        await self._ready()
        return await query.find_trace(self._engine, project, trace_id)

    async def count_variants(self, spans: RolloutSpans) -> Mapping[str, variants.VariantCounts]:
        """Requests and failures of a rollout, by variant."""
        await self._ready()
        return await variants.count_variants(self._engine, spans)

    async def latency_ranks(self, spans: RolloutSpans, *, variant: str, ranks: Sequence[int]) -> Sequence[float]:
        """The latencies (ms) at these places, from 1, among a variant's answered requests in order."""
        return await variants.latency_ranks(self._engine, spans, variant=variant, ranks=ranks)

    async def variants_of(self, spans: RolloutSpans, trace_ids: Sequence[str]) -> Mapping[str, str]:
        """Which variant answered in these traces, as far as the rollout marked them."""
        return await variants.variants_of(self._engine, spans, trace_ids)

    async def requests_with(self, project: str, passage: lineage.Passage) -> tuple[Sequence[lineage.Requests], int]:
        """The requests in which a retriever found a passage, and the number of searches that cannot be told."""
        await self._ready()
        found = await lineage.requests_with(self._engine, project, passage)
        return found, await lineage.unreadable(self._engine, project, passage)

    async def newest_with(self, project: str, passage: lineage.Passage, *, limit: int = 5) -> Sequence[str]:
        """The newest traces in which a retriever found a passage."""
        return await lineage.newest_with(self._engine, project, passage, limit=limit)

    async def requests_of(self, project: str, releases: Sequence[str]) -> Sequence[lineage.Requests]:
        """The requests that these releases answered, by release and endpoint."""
        await self._ready()
        return await lineage.requests_of(self._engine, project, releases)

    async def origin_of(self, project: str, trace_id: str) -> lineage.Origin | None:
        """Where an answer came from; the trace's id as in `find_trace`. Raises `NotFound` or `Invalid`."""
        whole = await self.find_trace(project, trace_id)
        return await lineage.origin_of(self._engine, project, whole.id)

    async def _ready(self) -> None:
        """What was recorded before a question is part of its answer."""
        if not is_installed():
            raise MissingExtra("analytics", needed_for="listing, showing and searching traces")
        await self.flush()

    def _has_spans(self) -> bool:
        return any((self._folder / name).is_dir() for name in ("spans", RESTORE))

    async def _warm(self) -> None:
        """So that the first list is quick. It may fail: whoever asks is told why."""
        with contextlib.suppress(EngineDied, TidemillError):
            await self._engine.warm()

    def _project(self, spool: HandedSpool) -> Projector:
        return Projector(spool, self._engine, screen=self._screen_handed, aside=self._spool.folder)

    async def _screen_handed(self, rows: Rows) -> Rows | None:
        """Rows of another process: those of whose traces it is to be decided whether they are kept wait for that here."""
        if rows.table != TO_SAMPLE:
            return await self.gate.screen(rows)
        await self._tail.append_rows([each for each in rows.content.split(b"\n") if each])
        return None

    def _note_safe(self) -> None:
        if self._handing is not None:
            self._handing.note(self._spool.durable)

    def _on_durable(self) -> None:
        """In the spool's thread: there is more to project."""
        self._note_safe()
        loop, projector = self._loop, self._projector
        if loop is not None and projector is not None:
            with contextlib.suppress(RuntimeError):  # the loop may have been closed meanwhile
                loop.call_soon_threadsafe(projector.wake)
                loop.call_soon_threadsafe(self.rollups.wake)
