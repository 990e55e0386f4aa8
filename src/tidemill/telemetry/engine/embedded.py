"""Keeps the span store's process: starts it when something is to be done, starts it again when it died, ends it when idle."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast

import orjson

from tidemill.core.errors import MissingExtra
from tidemill.telemetry.engine.channel import LENGTHS, decode_header, encode_message
from tidemill.telemetry.engine.protocol import EngineDied, Refused, is_installed, no_answer
from tidemill.telemetry.spool.frames import SPANS

_log = logging.getLogger("tidemill.telemetry")
_START_SECONDS: Final = 60.0
_CALL_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 10.0
_PATIENCE: Final = 10.0


class EmbeddedEngine:
    """The supervised child. One event loop only. Started by the first call; ended after `idle_seconds` without one.

    A process that does not even say that it is there for `patience` seconds, while something is asked of it, is killed.
    """

    def __init__(self, folder: Path, *, idle_seconds: float = 120.0, patience: float = _PATIENCE) -> None:
        self.starts = 0
        self._folder = folder
        self._idle_seconds = idle_seconds
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        self._patience = patience
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._last = 0
        self._idle: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._process.pid if self._process is not None else None

    async def warm(self) -> None:
        """See `Engine`."""
        await self._call({"op": "query", "sql": "SELECT count() FROM spans", "parameters": {}})

    async def insert(self, rows: bytes, *, table: str = SPANS, is_block: bool = False) -> None:
        """See `Engine`."""
        await self._call({"op": "insert", "table": table, "is_block": is_block}, rows)

    async def query(self, sql: str, parameters: Mapping[str, object]) -> Sequence[Sequence[object]]:
        """See `Engine`."""
        header = {"op": "query", "sql": sql, "parameters": parameters}
        try:
            try:
                answer = await self._call(header)
            except EngineDied:
                answer = await self._call(header)
        except (EngineDied, Refused) as error:
            raise no_answer(error) from error
        return [cast("list[object]", orjson.loads(line)) for line in answer.splitlines()]

    async def execute(self, sql: str, parameters: Mapping[str, object]) -> None:
        """See `Engine`."""
        await self._call({"op": "execute", "sql": sql, "parameters": parameters})

    async def close(self) -> None:
        """End the process, after what it does at the moment."""
        async with self._starting:
            await self._stop()

    async def _call(self, header: Mapping[str, object], body: bytes = b"") -> bytes:
        process = await self._ensure()
        self._rest_later()
        self._last += 1
        number = self._last
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                return await self._ask(process, number, header, body)
        except TimeoutError as error:
            self._kill(process)
            raise EngineDied(f"no answer in {_CALL_SECONDS:.0f} s") from error
        except asyncio.CancelledError:
            self._cancel(process, number)
            raise
        finally:
            self._rest_later()

    async def _ask(
        self, process: asyncio.subprocess.Process, number: int, header: Mapping[str, object], body: bytes = b""
    ) -> bytes:
        assert process.stdin is not None
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._asked.set()
        try:
            process.stdin.write(encode_message({**header, "id": number}, body))
            await process.stdin.drain()
            return await answer
        except (BrokenPipeError, ConnectionResetError) as error:
            raise EngineDied("the process ended") from error
        finally:
            self._waiting.pop(number, None)
            if answer.done() and not answer.cancelled():
                answer.exception()  # taken notice of, also when the write failed first

    def _cancel(self, process: asyncio.subprocess.Process, number: int) -> None:
        """Whoever asked went away, so its query is stopped. Nobody waits for an answer to this."""
        if process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(encode_message({"op": "cancel", "id": 0, "of": number}))

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Kill a process that hangs: whoever waits is told, and the next call starts another."""
        while True:
            await self._asked.wait()
            self._last += 1
            try:
                async with asyncio.timeout(self._patience):
                    await self._ask(process, self._last, {"op": "ping"})
            except TimeoutError:
                _log.warning("the span store's process %d hangs and was killed", process.pid)
                self._kill(process)
                return
            except EngineDied:
                return
            if not self._waiting:
                self._asked.clear()
            await asyncio.sleep(self._patience / 4)

    async def _ensure(self) -> asyncio.subprocess.Process:
        if not is_installed():
            raise MissingExtra("analytics", needed_for="listing, showing and searching traces")
        async with self._starting:
            if self._process is not None and self._answers(self._process):
                return self._process
            await self._stop()
            try:
                return await self._start()
            except BaseException:
                await self._stop()
                raise

    def _answers(self, process: asyncio.subprocess.Process) -> bool:
        if process.returncode is not None or process.stdin is None or process.stdin.is_closing():
            return False
        return self._reader is not None and not self._reader.done()

    async def _start(self) -> asyncio.subprocess.Process:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder.parent / f"{self._folder.name}.log").open("wb") as log:
            process = self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "tidemill.telemetry.engine.child", str(self._folder), str(os.getpid())),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        assert process.stdout is not None
        try:
            while True:  # tables of an older version may take long to bring up; it says all the while that it is at it
                async with asyncio.timeout(_START_SECONDS):
                    header, _ = await _read_message(process.stdout)
                if "busy" not in header:
                    break
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            raise EngineDied(f"it did not start; see {log.name}") from error
        if "error" in header:
            raise EngineDied(f"it did not start: {header['error']}")
        self.starts += 1
        self._reader = asyncio.create_task(self._read_answers(process.stdout), name="span store answers")
        self._watcher = asyncio.create_task(self._watch(process), name="span store watch")
        return process

    async def _read_answers(self, stream: asyncio.StreamReader) -> None:
        try:
            while True:
                header, body = await _read_message(stream)
                answer = self._waiting.get(cast("int", header["id"]))
                if answer is None or answer.done():
                    continue
                if "error" in header:
                    answer.set_exception(Refused(str(header["error"]), str(header.get("code", ""))))
                else:
                    answer.set_result(body)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass
        finally:
            if self._waiting and (process := self._process) is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), 1.0)
                _log.warning("the span store's process %d ended (%s) while it was asked", process.pid, process.returncode)
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(EngineDied("the process ended"))

    async def _stop(self) -> None:
        process, reader, watcher = self._process, self._reader, self._watcher
        self._process = self._reader = self._watcher = None
        self._asked.clear()
        if self._idle is not None:
            self._idle.cancel()
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            self._kill(process)
            await process.wait()
        for task in (reader, watcher):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def _kill(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    def _rest_later(self) -> None:
        """Begin to count idle time anew."""
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(self._idle_seconds, self._rest)

    def _rest(self) -> None:
        """End an idle process by ending its input; the next call starts another."""
        process = self._process
        if not self._waiting and not self._starting.locked() and process is not None and process.stdin is not None:
            process.stdin.close()


async def _read_message(stream: asyncio.StreamReader) -> tuple[Mapping[str, object], bytes]:
    head, body = LENGTHS.unpack(await stream.readexactly(LENGTHS.size))
    return decode_header(await stream.readexactly(head)), await stream.readexactly(body)
