"""Traces that wait for the decision whether they are kept: on disk in a spool of their own before they are acknowledged.

Once a trace is decided, its rows go into the spool that is projected, with their weight, or nowhere. The position of the spool
of those that wait moves only over traces that were decided and whose rows are safe in the other, so a kill loses none: what was
not noted is decided again, the same way, and its rows are the same rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio.to_thread
import orjson

from tidemill.core.errors import StorageFull, Unavailable
from tidemill.core.records import SpanRecord
from tidemill.telemetry.row import encode_row
from tidemill.telemetry.sampling import Seen, Tail, decide
from tidemill.telemetry.spool.frames import SPANS, decode_rows
from tidemill.telemetry.spool.handed import TO_SAMPLE
from tidemill.telemetry.spool.segments import Position
from tidemill.telemetry.spool.spool import Spool

_LOOK_SECONDS: Final = 0.25
_MOST_BYTES: Final = 64 << 20
_REMEMBERED: Final = 200_000
_TOGETHER: Final = 500
_BEHIND: Final = "too many traces wait for the decision whether they are kept"
_log = logging.getLogger("tidemill.telemetry")


class _Key(NamedTuple):
    project: str
    trace_id: str


@dataclass(slots=True)
class _Waiting:
    """A trace: what is known of it, its rows, since when it waits, and before where in the spool none of it is."""

    since: float
    place: Position
    seen: Seen = field(default_factory=Seen)
    rows: list[bytes] = field(default_factory=list[bytes])
    size: int = 0


class TailSampler:
    """`tail_of` gives a project's rule, None when it has none (any more): then what waits is kept.

    `put` and `append` may be called from any thread; the rest on one event loop. `most_bytes` bounds what waits in memory:
    beyond it the oldest traces are decided by what is known of them. While the disk refuses those too, and twice as much
    waits, no more is taken.
    """

    def __init__(
        self, folder: Path, out: Spool, *, tail_of: Callable[[str], Tail | None], most_bytes: int = _MOST_BYTES
    ) -> None:
        self.dropped = 0
        """Spans that `put` could not take since the start, because too much waited."""
        self.sampled_out = 0
        """Spans that were left out since the start."""
        self._folder = folder
        self._out = out
        self._tail_of = tail_of
        self._most_bytes = most_bytes
        self._spool: Spool | None = None
        self._lock = threading.Lock()
        self._waiting: OrderedDict[_Key, _Waiting] = OrderedDict()
        self._decided: OrderedDict[_Key, float] = OrderedDict()
        self._size = 0
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up what waited when the last process ended, and begin to decide."""
        if self._folder.exists():
            await anyio.to_thread.run_sync(self._take_up)
        self._task = asyncio.create_task(self._run(), name="tail sampling")

    async def stop(self) -> None:
        """Stop. What waits is decided after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._spool is not None:
            await anyio.to_thread.run_sync(self._spool.close)

    def put(self, record: SpanRecord) -> None:
        """Take a span without waiting; when too much waits for the disk it is dropped, and counted."""
        if self._is_full():
            self.dropped += 1
            return
        row = encode_row(record)
        rows = self._admit(record, row)
        if rows is not None:
            self._out.put_rows(SPANS, rows)
        else:
            self._opened().put_rows(SPANS, [row])

    async def append(self, records: Sequence[SpanRecord], *, received_ns: int | None = None) -> None:
        """Take spans and return when they are safe on disk. Raises `StorageFull` or `Unavailable`."""
        if self._is_full():
            raise self._out.problem or Unavailable(_BEHIND, hint="Send it again soon.")
        await self._take((record, encode_row(record, received_ns=received_ns)) for record in records)

    async def append_rows(self, rows: Sequence[bytes]) -> None:
        """`append` for rows that another process made of spans and kept; they are safe here when it returns."""
        await self._take((_outline(orjson.loads(row)), row) for row in rows)

    async def _take(self, spans: Iterable[tuple[SpanRecord, bytes]]) -> None:
        """Keep spans with their rows: those that wait apart, the others where they are stored from."""
        wait: list[bytes] = []
        go: list[bytes] = []
        for record, row in spans:
            decided = self._admit(record, row)
            if decided is None:
                wait.append(row)
            else:
                go += decided
        if wait:
            await self._opened().append_rows(SPANS, wait)
        if go:
            await self._out.append_rows(SPANS, go)

    async def keep(self, project: str, trace_id: str) -> None:
        """Somebody says something of a trace (its id or the beginning of it): keep it now, as far as it still waits."""
        if not self._waiting:
            return
        with self._lock:
            named = [
                each for key, each in self._waiting.items() if key.project == project and key.trace_id.startswith(trace_id)
            ]
            tail = self._tail_of(project)
            if len(named) != 1 or (tail is not None and not tail.feedback):
                return
            named[0].seen.has_feedback = True
            named[0].since = -math.inf
        await self.look()

    async def look(self, *, now: float | None = None) -> None:
        """Decide what is due, and hand on what is kept. What the disk refuses waits on."""
        async with self._looking:
            await self._look(time.monotonic() if now is None else now)

    async def _look(self, now: float) -> None:
        for key, waiting in self._due(now):
            tail = self._tail_of(key.project)
            weight = 1.0 if tail is None else decide(key.trace_id, waiting.seen, tail)
            handed_on = 0
            try:
                while not self._settle(key, waiting, weight, handed_on=handed_on):
                    rows = [_weighed(row, weight) for row in waiting.rows[handed_on : handed_on + _TOGETHER]]
                    await self._out.append_rows(SPANS, rows)
                    handed_on += len(rows)
            except (StorageFull, Unavailable):
                return
        if self._spool is not None:
            await anyio.to_thread.run_sync(self._commit, self._spool)

    def _is_full(self) -> bool:
        return self._size > 2 * self._most_bytes

    def _admit(self, record: SpanRecord, row: bytes) -> Sequence[bytes] | None:
        """Note a span; when its trace was decided already, the row that is to go on (none of one that is not kept)."""
        key = _Key(record.project, record.trace_id)
        place = self._opened().durable
        with self._lock:
            weight = self._decided.get(key)
            if weight is not None:
                self.sampled_out += 0 if weight else 1
                return [_weighed(row, weight)] if weight else []
            waiting = self._waiting.get(key)
            if waiting is None:
                waiting = self._waiting[key] = _Waiting(since=time.monotonic(), place=place)
            self._add(waiting, record, row)
        return None

    def _add(self, waiting: _Waiting, record: SpanRecord, row: bytes) -> None:
        waiting.seen.add(record)
        waiting.rows.append(row)
        waiting.size += len(row)
        self._size += len(row)

    def _due(self, now: float) -> list[tuple[_Key, _Waiting]]:
        with self._lock:
            due: list[tuple[_Key, _Waiting]] = []
            over = self._size - self._most_bytes
            for key, waiting in self._waiting.items():
                tail = self._tail_of(key.project)
                if over > 0 or tail is None or now - waiting.since >= tail.wait_seconds:
                    due.append((key, waiting))
                    over -= waiting.size
            return due

    def _settle(self, key: _Key, waiting: _Waiting, weight: float, *, handed_on: int) -> bool:
        """Note the decision, unless there are rows that are kept and not handed on; more may have come meanwhile."""
        with self._lock:
            if weight and handed_on < len(waiting.rows):
                return False
            del self._waiting[key]
            self._size -= waiting.size
            self.sampled_out += 0 if weight else len(waiting.rows)
            self._decided[key] = weight
            while len(self._decided) > _REMEMBERED:
                self._decided.popitem(last=False)
            return True

    def _commit(self, spool: Spool) -> None:
        """Let go of what lies before the first trace that still waits."""
        durable = spool.durable
        with self._lock:
            first = min((each.place for each in self._waiting.values()), default=durable)
        place = min(first, durable)
        if place > spool.position():
            with contextlib.suppress(OSError):  # the disk is full: it goes next time, and until then it would be decided again
                spool.commit(place)

    def _take_up(self) -> None:
        spool = self._opened()
        place = spool.position()
        while place < spool.durable:
            batch = spool.read(place)
            for payload in batch.payloads:
                for line in decode_rows(payload).content.split(b"\n"):
                    self._remember(line, place)
            if batch.end == place:
                break
            place = batch.end

    def _remember(self, row: bytes, place: Position) -> None:
        values: dict[str, Any] = orjson.loads(row)
        key = _Key(values["project"], values["trace_id"])
        waiting = self._waiting.setdefault(key, _Waiting(since=time.monotonic(), place=place))
        self._add(waiting, _outline(values), row)

    def _opened(self) -> Spool:
        if self._spool is None:
            with self._lock:
                if self._spool is None:
                    self._spool = Spool(self._folder)
        return self._spool

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not self._waiting:
                continue
            try:
                await self.look()
            except Exception:  # noqa: BLE001  (it is tried again at once; without this task nothing would be decided any more)
                _log.exception("traces could not be decided")


class HandedTail:
    """In place of a `TailSampler` where another process decides: the rows go there, marked as such."""

    def __init__(self, out: Spool) -> None:
        self.dropped = 0
        self.sampled_out = 0
        self._out = out

    async def start(self) -> None:
        """Nothing waits here."""

    async def stop(self) -> None:
        """Nothing waits here."""

    def put(self, record: SpanRecord) -> None:
        """Take a span without waiting."""
        self._out.put_rows(TO_SAMPLE, [encode_row(record)])

    async def append(self, records: Sequence[SpanRecord], *, received_ns: int | None = None) -> None:
        """Take spans and return when they are safe on disk. Raises `StorageFull` or `Unavailable`."""
        await self._out.append_rows(TO_SAMPLE, [encode_row(each, received_ns=received_ns) for each in records])

    async def append_rows(self, rows: Sequence[bytes]) -> None:
        """The same of rows."""
        await self._out.append_rows(TO_SAMPLE, rows)

    async def keep(self, project: str, trace_id: str) -> None:
        """Feedback is not taken here."""


def _weighed(row: bytes, weight: float) -> bytes:
    if weight == 1:
        return row
    values: dict[str, Any] = orjson.loads(row)
    return orjson.dumps({**values, "weight": values["weight"] * weight})


def _outline(values: dict[str, Any]) -> SpanRecord:
    """As much of a span as a decision looks at."""
    return SpanRecord(
        trace_id=values["trace_id"],
        span_id=values["span_id"],
        parent_id=values["parent_id"] or None,
        name="",
        kind=values["kind"],
        start_ns=values["start"],
        end_ns=values["start"] + values["duration_ns"],
        project=values["project"],
        status=values["status"],
        cost=values["cost"],
    )
