"""Threads for short pieces of work that the event loop waits for.

`ThreadPoolExecutor` has a lock, a condition and two futures a piece, and wakes a thread for each; for a read that takes a tenth
of a millisecond that is half of it, and threads that take turns at the interpreter are slower together than one. Here one
thread does what is short, one after the other; it is joined by a second only when a piece has kept the others waiting. What
is done is told to the event loop by one call for all that is.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Final, TypeVar, cast

T = TypeVar("T")
_PATIENCE: Final = 0.001  # seconds without any work begun, after which one more thread is woken


@dataclass(kw_only=True, slots=True)
class _Job:
    work: Callable[[], Any]
    context: Context
    future: asyncio.Future[Any]
    told: _Mailbox
    value: Any = None
    error: BaseException | None = None


@dataclass(slots=True, eq=False)
class _Mailbox:
    """What is done and was not told yet to one event loop."""

    loop: asyncio.AbstractEventLoop
    done: deque[_Job] = field(default_factory=deque[_Job])
    is_coming: bool = False

    def put(self, job: _Job) -> None:
        self.done.append(job)
        if not self.is_coming:
            self.is_coming = True
            try:
                self.loop.call_soon_threadsafe(self._open)
            except RuntimeError:  # the loop was closed: nobody waits any more
                self.done.clear()

    def _open(self) -> None:
        self.is_coming = False  # before anything is taken out: what is put in from now on calls again
        while self.done:
            job = self.done.popleft()
            if job.future.done():  # whoever waited was cancelled
                continue
            if job.error is None:
                job.future.set_result(job.value)
            else:
                job.future.set_exception(job.error)
                job.error = None  # its traceback leads back here


class Workers:
    """At most `most` threads; each is started when it is first needed.

    With `patient`, one more is woken only when work waits and none was begun for a millisecond: right for short work that
    holds the interpreter. Without, as long as one sleeps: right for work that waits for a network.
    """

    def __init__(self, most: int, *, name: str, patient: bool) -> None:
        self._most = most
        self._name = name
        self._patient = patient
        self._jobs: deque[_Job] = deque()
        self._bells: SimpleQueue[bool] = SimpleQueue()
        self._lock = threading.Lock()
        self._awake = 0
        self._threads: list[threading.Thread] = []
        self._is_closed = False
        self._is_watched = False
        self._begun = 0
        self._mailbox: _Mailbox | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises, on one of the threads; with the caller's context variables.

        Work that has begun goes on to its end when the caller is cancelled.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._jobs.append(_Job(work=work, context=copy_context(), future=future, told=self._mailbox_of(loop)))
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the threads were closed")
            if self._awake == 0 or not self._patient:
                self._wake()
            elif not self._is_watched and self._awake < self._most:
                self._is_watched = True
                loop.call_later(_PATIENCE, self._look, loop, self._begun)
        return cast("T", await future)

    def close(self) -> None:
        """Wait for all that was given, then end the threads."""
        with self._lock:
            self._is_closed = True
        for _ in self._threads:
            self._bells.put(False)
        for thread in self._threads:
            thread.join()

    def _mailbox_of(self, loop: asyncio.AbstractEventLoop) -> _Mailbox:
        found = self._mailbox
        if found is None or found.loop is not loop:
            found = self._mailbox = _Mailbox(loop)
        return found

    def _look(self, loop: asyncio.AbstractEventLoop, begun: int) -> None:
        """Wake one more thread when work waits, and none was begun since the last look."""
        with self._lock:
            self._is_watched = False
            if not self._jobs or self._is_closed:
                return
            if begun == self._begun:
                self._wake()
            if self._awake < self._most:
                self._is_watched = True
                loop.call_later(_PATIENCE, self._look, loop, self._begun)

    def _wake(self) -> None:
        """With the lock held."""
        if self._awake == self._most or self._is_closed:
            return
        self._awake += 1
        if self._awake > len(self._threads):
            thread = threading.Thread(target=self._serve, name=f"{self._name}-{self._awake}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._bells.put(True)

    def _serve(self) -> None:
        while self._bells.get():
            is_awake = True
            while is_awake:
                self._drain()
                with self._lock:  # what is appended after this finds one awake less, and rings
                    if not self._jobs:
                        self._awake -= 1
                        is_awake = False

    def _drain(self) -> None:
        while True:
            try:
                job = self._jobs.popleft()
            except IndexError:
                return
            self._begun += 1
            if not job.future.cancelled():
                _do(job)


def _do(job: _Job) -> None:
    try:
        job.value = job.context.run(job.work)
    except BaseException as error:  # noqa: BLE001  (whatever it is, it belongs to whoever waits)
        job.error = error
    job.told.put(job)
