"""Spans on their way to the store, on disk: what was acknowledged survives `kill -9` and a power cut.

Rows of other tables of the span store go the same way (`append_rows`, `put_rows`): each is one JSON object without a line feed,
whose keys are columns of its table. They are inserted at least once: a batch whose acknowledgement was cut off by a kill is
inserted again, so a table's engine or its queries must make one of two equal rows (ReplacingMergeTree, LIMIT 1 BY, argMax).
Within a table rows are inserted in the order in which they came; between tables there is no order.

One thread writes. Whatever gathers while it waits for the disk goes out with the next write (group commit). A process never
appends to a segment of an earlier one, so a tail torn by a crash stays where it is and is passed over.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final

from tidemill.core.errors import Invalid, StorageFull, TidemillError, Unavailable
from tidemill.core.records import SpanRecord
from tidemill.telemetry.row import encode_row, encode_spans
from tidemill.telemetry.spool.frames import LARGEST_ROW, SPANS, encode_block_frame, encode_rows
from tidemill.telemetry.spool.segments import (
    Position,
    Segments,
    new_segment,
    next_number,
    segment_path,
)  # fmt: skip

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_RETRY_SECONDS: Final = 1.0
_TOLD_EVERY: Final = 60.0  # seconds
_log: Final = logging.getLogger("tidemill.telemetry")
_GATHER_SECONDS: Final = 0.01  # that what nobody waits for may wait for more of its kind
_BLOCK_ROWS: Final = 200  # what one damaged frame costs at most
_BLOCK_BYTES: Final = 1 << 20


class Spool(Segments):
    """A folder of segments. `put` and `append` may be called from any thread.

    `limit_bytes` bounds what waits in memory while the disk is slow or full; beyond it `put` drops and counts.
    `on_durable` is called from the writer's thread after each write.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = 32 << 20,
        limit_bytes: int = 64 << 20,
        on_durable: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(folder, Position(next_number(folder), 0))
        self.dropped = 0
        self._told = 0
        self._told_at = 0.0
        self.problem: TidemillError | None = None
        self._segment_bytes = segment_bytes
        self._limit_bytes = limit_bytes
        self._on_durable = on_durable
        self._wake = threading.Condition()
        self._rows: list[tuple[str, bytes]] = []
        self._waiting: list[tuple[bytes, Future[None]]] = []
        self._pending_bytes = 0
        self._closing = False
        self._idle = False
        self._gathering = False
        self._turned = False
        self._writer: threading.Thread | None = None
        self._descriptor: int | None = None

    def put(self, record: SpanRecord) -> bool:
        """Take a span without waiting; False when it was dropped because too much waits already."""
        return self.put_rows(SPANS, (encode_row(record),))

    def put_rows(self, table: str, rows: Sequence[bytes]) -> bool:
        """Take rows of a table without waiting, all or none; False when they were dropped because too much waits already."""
        size = sum(map(len, rows))
        with self._wake:
            if self._closing or self._pending_bytes + size > self._limit_bytes or max(map(len, rows), default=0) > LARGEST_ROW:
                self.dropped += len(rows)
                return False
            self._rows.extend((table, row) for row in rows)
            self._pending_bytes += size
            self._start_writing()
        return True

    async def append(self, records: Sequence[SpanRecord], *, received_ns: int | None = None) -> None:
        """Write spans and return when they are safe. Raises `StorageFull` or `Unavailable`; then none of them is kept.

        `received_ns` is when they came (default: each one's end); of two rows of one span, the one received last stays.
        """
        frames = [_span_frames(each, received_ns) for each in _slices(records, _BLOCK_ROWS)]
        await asyncio.wrap_future(self._enqueue(b"".join(frames)))

    async def append_rows(self, table: str, rows: Sequence[bytes]) -> None:
        """Write rows of a table and return when they are safe.

        Raises `Invalid` for a row that is too large, `StorageFull` or `Unavailable`; then none of them is kept.
        """
        if max(map(len, rows), default=0) > LARGEST_ROW:
            raise Invalid(f"a row of {table} is larger than {LARGEST_ROW} bytes", hint="Send less at once.")
        await asyncio.wrap_future(self._enqueue(encode_rows(table, rows)))

    async def sync(self) -> None:
        """Return when everything `put` so far is safe. Raises `StorageFull` or `Unavailable` while the disk refuses."""
        await asyncio.wrap_future(self._enqueue(b""))

    async def turn(self) -> None:
        """Begin another segment, so that the one before can go once it was projected. Raises as `sync`."""
        self._turned = True
        await self.sync()

    def close(self) -> None:
        """Write what waits and stop. What the disk still refuses is lost, and counted in `dropped`."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._writer is not None:
            self._writer.join()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _enqueue(self, frames: bytes) -> Future[None]:
        done: Future[None] = Future()
        with self._wake:
            if self._closing:
                raise Unavailable("the span spool is closed", hint="The server is stopping; try again when it is up.")
            self._waiting.append((frames, done))
            self._start_writing()
            if self._gathering:
                self._wake.notify()
        return done

    def _start_writing(self) -> None:
        if self._writer is None:
            self._writer = threading.Thread(target=self._run, name="tidemill-spool", daemon=True)
            self._writer.start()
        elif self._idle:
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._rows or self._waiting or self._closing):
                    self._idle = True
                    self._wake.wait()
                    self._idle = False
                if not self._waiting and not self._closing:
                    self._gathering = True
                    self._wake.wait(_GATHER_SECONDS)
                    self._gathering = False
                rows, waiting = self._rows, self._waiting
                self._rows, self._waiting = [], []
                if not rows and not waiting:
                    return
            self._commit_group(rows, waiting)

    def _commit_group(self, rows: list[tuple[str, bytes]], waiting: list[tuple[bytes, Future[None]]]) -> None:
        try:
            own = [encode_rows(table, (row for _, row in group)) for table, group in groupby(rows, itemgetter(0))]
            self._write(b"".join([*own, *(each for each, _ in waiting)]))
        except (OSError, MemoryError) as error:
            self._refused(error if isinstance(error, OSError) else OSError(errno.ENOMEM, "no memory left"), rows, waiting)
            return
        if self.problem is not None or self.dropped != self._told:
            self._tell(None)
        with self._wake:
            self._pending_bytes -= sum(len(row) for _, row in rows)
        for _, done in waiting:
            if done.set_running_or_notify_cancel():
                done.set_result(None)
        if self._on_durable is not None:
            self._on_durable()

    def _refused(self, error: OSError, rows: list[tuple[str, bytes]], waiting: list[tuple[bytes, Future[None]]]) -> None:
        self._tell(_explain(error, self.folder))
        for _, done in waiting:
            if done.set_running_or_notify_cancel():
                done.set_exception(_explain(error, self.folder))
        with self._wake:
            if self._closing:
                self.dropped += len(rows)
                self._tell(None, at_end=True)
                return
            self._rows = rows + self._rows
            if self._rows:  # nobody waits for these, so they are tried again after a while
                self._wake.wait(_RETRY_SECONDS)

    def _tell(self, problem: TidemillError | None, *, at_end: bool = False) -> None:
        """Say in the log that the disk begins to refuse, every minute how much was lost, and that all is well again."""
        lost, before, now = self.dropped - self._told, self.problem, time.monotonic()
        self.problem = problem
        if problem is not None and before is not None and now - self._told_at < _TOLD_EVERY:
            return
        self._told, self._told_at = self._told + lost, now
        gap = f"; {lost:,} spans or rows were lost meanwhile, {self._told:,} since the start" if lost else ""
        if at_end:
            _log.warning("the spans that waited could not be written%s", gap)
        elif problem is not None and (before is None or lost):
            _log.warning("%s. Requests go on, and spans wait in memory%s", problem.message, gap)
        elif problem is None and before is not None:
            _log.warning("spans are written to %s again%s", self.folder, gap)
        elif problem is None and lost:
            _log.warning("the disk was too slow for the spans that came%s", gap)

    def _write(self, content: bytes) -> None:
        """Append and sync. On any failure the segment is cut back and left, because a failed sync says nothing of its pages."""
        if not content and not self._turned:
            return
        if self._turned or self._descriptor is None or self._durable.offset >= self._segment_bytes:
            self._turned = False
            self._next_segment()
        assert self._descriptor is not None
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fsync(self._descriptor)
        except OSError:
            self._abandon_segment()
            raise
        self._durable = Position(self._durable.segment, self._durable.offset + len(content))

    def _next_segment(self) -> None:
        number, descriptor = new_segment(self.folder)
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._durable = Position(number, 0)

    def _abandon_segment(self) -> None:
        assert self._descriptor is not None
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._durable.offset)
        os.close(self._descriptor)
        self._descriptor = None
        if self._durable.offset == 0:
            with contextlib.suppress(OSError):
                segment_path(self.folder, self._durable.segment).unlink()


def _span_frames(records: Sequence[SpanRecord], received_ns: int | None) -> bytes:
    block = encode_spans(records, received_ns=received_ns)
    if block is None or (len(block) > LARGEST_ROW and len(records) == 1):
        return encode_rows(SPANS, (encode_row(each, received_ns=received_ns) for each in records))
    if len(block) > _BLOCK_BYTES and len(records) > 1:
        fewer = max(1, len(records) * _BLOCK_BYTES // len(block) // 2)
        return b"".join(_span_frames(each, received_ns) for each in _slices(records, fewer))
    return encode_block_frame(SPANS, block)


def _slices(records: Sequence[SpanRecord], size: int) -> Iterator[Sequence[SpanRecord]]:
    return (records[start : start + size] for start in range(0, len(records), size))


def _explain(error: OSError, folder: Path) -> TidemillError:
    if error.errno in _FULL:
        return StorageFull(f"no room left for spans in {folder}", hint="Free some space; nothing acknowledged was lost.")
    return Unavailable(f"spans cannot be written to {folder}: {error.strerror or error}", hint="Check the disk.")
