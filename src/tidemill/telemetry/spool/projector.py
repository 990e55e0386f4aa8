"""Moves spans from the spool into the store. The spool's position moves only after the store said that it has them."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import anyio.to_thread
import orjson

from tidemill.core.errors import MissingExtra, StorageFull, TidemillError, Unavailable
from tidemill.telemetry.engine.native import decode_blocks
from tidemill.telemetry.engine.protocol import Engine, EngineDied, Refused
from tidemill.telemetry.spool.frames import Rows, decode_rows
from tidemill.telemetry.spool.segments import Batch, Position, Segments, keep_damaged, segment_path

_GATHER_SECONDS: Final = 0.25
_STREAM_SECONDS: Final = 2.0
_STREAM: Final = 128 << 10
_PLENTY: Final = 16 << 20  # a batch of this costs the store half as much a span as one of a quarter of it
_PATIENCE: Final = 3
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_BAD_ROW: Final = (
    "CANNOT_PARSE",
    "INCORRECT_DATA",
    "TOO_LARGE",
    "TYPE_MISMATCH",
    "ILLEGAL_TYPE",
    "UNKNOWN_ELEMENT",
    "UNKNOWN_TABLE",
    "VALUE_IS_OUT",
)
_FULL: Final = ("NOT_ENOUGH_SPACE", "No space left on device", "Disk quota exceeded")
Screen: TypeAlias = Callable[[Rows], Awaitable[Rows | None]]
"""From rows to those of them that may be stored; None when there are none."""
_log = logging.getLogger("tidemill.telemetry")


class Projector:
    """One task. `wake` says that there is more in the spool; `reach` waits until a place in it was projected."""

    def __init__(self, spool: Segments, engine: Engine, *, screen: Screen | None = None, aside: Path | None = None) -> None:
        """`aside` is where that goes which cannot be stored or read; by default the spool's own folder."""
        self.problem: TidemillError | None = None
        self.rejected = 0
        self.damaged: dict[str, int] = {}
        self._spool = spool
        self._engine = engine
        self._screen = screen
        self._aside = aside or spool.folder
        self._position = self._wanted = spool.position()
        self._failures = 0
        self._moved = asyncio.Condition()
        self._more = asyncio.Event()
        self._hurry = asyncio.Event()

    def wake(self) -> None:
        """Say that the spool has more. On the event loop only."""
        self._more.set()

    async def reach(self, target: Position, *, timeout: float) -> None:
        """Return when everything before `target` can be queried.

        Raises `Unavailable` after `timeout` seconds, or when the store has refused a few times meanwhile.
        """
        patience = self._failures + _PATIENCE
        if self._position < target:
            self._wanted = max(self._wanted, target)
            self._hurry.set()
            self._more.set()
        try:
            async with asyncio.timeout(timeout), self._moved:
                await self._moved.wait_for(lambda: self._position >= target or self._failures >= patience)
        except TimeoutError:
            pass
        if self._position < target:
            raise self.problem or Unavailable(
                f"spans are safe but cannot be shown yet: {timeout:.0f} s were not enough to store them", hint="Try again soon."
            )

    @property
    def position(self) -> Position:
        """Up to where everything was projected."""
        return self._position

    async def beyond(self, position: Position) -> Position:
        """Return when more than what is before `position` was projected: up to where."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._position > position)
            return self._position

    async def run(self) -> None:
        """Project until cancelled."""
        pause = _FIRST_PAUSE
        self._more.set()
        while True:
            await self._more.wait()
            self._more.clear()
            await self._gather(_GATHER_SECONDS)
            try:
                await self._project_all()
            except (EngineDied, Refused, OSError) as error:
                self.problem = _explain(error)
                await self._failed(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            except MissingExtra as error:
                self.problem = error
                return
            except Exception as error:  # noqa: BLE001  (whatever it is: without this task nothing would be stored any more)
                self.problem = _unexpected(error)
                await self._failed(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self.problem = None
                pause = _FIRST_PAUSE

    async def _failed(self, pause: float) -> None:
        """Say what is wrong to whoever waits, and be ready to try again after a pause."""
        _log.warning("%s", self.problem)
        async with self._moved:
            self._failures += 1
            self._moved.notify_all()
        await self._gather(pause)
        self._more.set()

    async def _gather(self, seconds: float) -> None:
        """Let a batch gather, unless somebody waits."""
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            pass
        self._hurry.clear()

    async def _project_all(self) -> None:
        first = True
        while self._position < self._spool.durable:
            if not first and self._position >= self._wanted and not self._is_plenty():  # they keep coming
                await self._gather(_STREAM_SECONDS if self._waits() >= _STREAM else _GATHER_SECONDS)
            first = False
            batch = await anyio.to_thread.run_sync(partial(self._spool.read, self._position, limit=_PLENTY))
            if batch.skipped or batch.damaged:
                await anyio.to_thread.run_sync(self._note_damage, batch)
            for rows in self._by_table(batch.payloads):
                kept = rows if self._screen is None else await self._screen(rows)
                if kept is not None:
                    await self._insert(kept)
            await anyio.to_thread.run_sync(self._spool.commit, batch.end)
            async with self._moved:
                self._position = batch.end
                self._moved.notify_all()

    def _is_plenty(self) -> bool:
        return self._spool.durable.segment > self._position.segment or self._waits() >= _PLENTY

    def _waits(self) -> int:
        """Bytes that can be projected, of one segment."""
        return self._spool.durable.offset - self._position.offset

    async def _insert(self, rows: Rows) -> None:
        """Insert rows; one that the engine cannot read is put aside, so that it does not hold up the others for ever."""
        try:
            await self._engine.insert(rows.content, table=rows.table, is_block=rows.is_block)
        except Refused as error:
            if not error.code.startswith(_BAD_ROW):
                raise
            lines = await anyio.to_thread.run_sync(_lines, rows)
            if len(lines) > 1:
                half = len(lines) // 2
                await self._insert(_rows(rows.table, lines[:half]))
                await self._insert(_rows(rows.table, lines[half:]))
                return
            self.rejected += 1
            _log.warning("a row of %s was put aside in rejected.jsonl: %s", rows.table, error)
            await anyio.to_thread.run_sync(self._put_aside, lines[0])

    def _note_damage(self, batch: Batch) -> None:
        for number, size in batch.damaged.items():
            segment = segment_path(self._spool.folder, number)
            name = segment.name if self._aside == self._spool.folder else f"{self._spool.folder.name}-{segment.name}"
            self.damaged[name] = self.damaged.get(name, 0) + size
            keep_damaged(segment, self._aside, name)
            _log.error("%d bytes of %s are damaged and were passed over; it is kept in %s/damaged", size, name, self._aside)
        if not batch.damaged:
            _log.info("a segment of the span spool ends in %d bytes of a record that a kill cut off", batch.skipped)

    def _by_table(self, payloads: Sequence[bytes]) -> Sequence[Rows]:
        """Rows that can be inserted together, put together."""
        found: dict[tuple[str, bool], list[bytes]] = {}
        for payload in payloads:
            try:
                rows = decode_rows(payload)
            except ValueError as error:  # a newer version wrote it, or nobody did
                self.rejected += 1
                _log.error("a record of the span spool was put aside in rejected.jsonl: %s", error)
                self._put_aside(payload)
                continue
            found.setdefault((rows.table, rows.is_block), []).append(rows.content)
        return [
            Rows(table, is_block=is_block, content=(b"" if is_block else b"\n").join(contents))
            for (table, is_block), contents in found.items()
        ]

    def _put_aside(self, row: bytes) -> None:
        with (self._aside / "rejected.jsonl").open("ab") as file:
            file.write(row + b"\n")
            file.flush()
            os.fsync(file.fileno())  # its segment goes next


def _lines(rows: Rows) -> Sequence[bytes]:
    if rows.is_block:
        return [orjson.dumps(each) for each in decode_blocks(rows.content)]
    return rows.content.split(b"\n")


def _rows(table: str, lines: Sequence[bytes]) -> Rows:
    return Rows(table, is_block=False, content=b"\n".join(lines))


def _unexpected(error: Exception) -> TidemillError:
    if isinstance(error, TidemillError):
        return error
    _log.error("spans could not be moved into the store", exc_info=error)
    return Unavailable(f"spans are safe but cannot be shown yet: {error!r}", hint="The server's log says more.")


def _explain(error: EngineDied | Refused | OSError) -> TidemillError:
    full = (
        error.errno in {errno.ENOSPC, errno.EDQUOT} if isinstance(error, OSError) else any(each in str(error) for each in _FULL)
    )
    if full:
        return StorageFull("no room left to store spans", hint="Free some space; nothing acknowledged was lost.")
    return Unavailable(f"spans are safe but cannot be shown yet: {error}", hint="They are tried again by themselves.")
