"""Running an application: whole, as a stream, or from what is known already."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final, Self, TypeAlias

from tidemill.core.chat import ChatDelta
from tidemill.core.clock import Clock, SystemClock
from tidemill.core.errors import Conflict
from tidemill.core.json import JsonObject
from tidemill.core.records import Bundle
from tidemill.data.index import Indexes
from tidemill.flows.application import Application
from tidemill.flows.compiling import compile_bundle
from tidemill.flows.foresee import Foreseen, foresee
from tidemill.flows.recall import recall
from tidemill.flows.results import ENGINE, Blocked, Calls, RunContext, RunResult, StepResult
from tidemill.flows.reuse import StepCache
from tidemill.flows.shape import declared_inputs, first_text_input, outputs_of, retrieve_steps, steps_reading
from tidemill.flows.step import Emit, Engine, Run
from tidemill.models.service import Models
from tidemill.prompts.text import text_of
from tidemill.store.database import Database

__all__ = [
    "ENGINE", "Blocked", "Calls", "RunContext", "RunResult", "RunStream", "Runner", "StepResult", "declared_inputs",
    "first_text_input", "outputs_of", "retrieve_steps", "steps_reading",
]  # fmt: skip

_COMPILED: Final = 256
_AHEAD: Final = 64
_Start: TypeAlias = Callable[[Emit], Awaitable[RunResult]]


class Runner:
    """Runs bundles. Belongs to one event loop. A bundle is compiled once and kept while it is among the last used."""

    def __init__(self, *, models: Models, indexes: Indexes, database: Database, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        cache = StepCache(database, clock=clock)
        self._engine = Engine(models=models, indexes=indexes, clock=clock, cache=cache)
        self._compiled: OrderedDict[tuple[str, str], Application] = OrderedDict()

    async def run(self, bundle: Bundle, inputs: JsonObject, *, context: RunContext) -> RunResult:
        """Run once. Raises `Invalid` for a wrong input, `Blocked` for a guardrail's refusal, and what a step raises."""
        return await self._run(bundle, inputs, context=context, emit=None)

    def stream(self, bundle: Bundle, inputs: JsonObject, *, context: RunContext) -> RunStream:
        """Run, with the answer as it arrives. Must be iterated to its end or closed."""
        return RunStream(lambda emit: self._run(bundle, inputs, context=context, emit=emit))

    async def recall(self, bundle: Bundle, inputs: Sequence[JsonObject], *, context: RunContext) -> Sequence[RunResult | None]:
        """For each input the result, when every step that it needs is in the cache; few transactions for many inputs."""
        return await recall(self._application(bundle), inputs, context=context, engine=self._engine)

    async def foresee(self, bundle: Bundle, inputs: Sequence[JsonObject], *, context: RunContext) -> Sequence[Foreseen]:
        """For each input the steps that would have to run; nothing is run, and the bundle need not be kept anywhere."""
        return await foresee(compile_bundle(bundle), inputs, context=context, engine=self._engine)

    def _application(self, bundle: Bundle) -> Application:
        key = (bundle.release, bundle.root.digest)
        found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = compile_bundle(bundle)
            if len(self._compiled) > _COMPILED:
                self._compiled.popitem(last=False)
        else:
            self._compiled.move_to_end(key)
        return found

    async def _run(self, bundle: Bundle, inputs: JsonObject, *, context: RunContext, emit: Emit | None) -> RunResult:
        started = self._engine.clock.monotonic()
        application = self._application(bundle)
        run = Run(engine=self._engine, context=context, emit=emit)
        blocked: Blocked | None = None
        try:
            output = await application.run(inputs, run=run, span=context.span)
        except Blocked as error:
            if error.answer is None:
                raise
            output, blocked = error.answer, error
            context.span.set(attributes={"tidemill.blocked_by": error.where})
        finally:
            await self._engine.cache.put(context.project, run.to_keep)
        return RunResult(
            output=output,
            steps=run.results,
            usage=run.usage,
            cost=run.cost,
            latency_ms=(self._engine.clock.monotonic() - started) * 1000,
            calls=run.calls,
            reused=run.reused,
            saved_usage=run.saved_usage,
            saved_cost=run.saved_cost,
            finish_reason="content_filter" if blocked else run.finish_reason,
            blocked_by=blocked.where if blocked else None,
        )


class RunStream:
    """A run whose answer arrives in pieces: iterate once, then read `result`. The last piece has the finish reason and usage.

    Leaving early needs `aclose` (or `async with`): it cancels the run, so that the provider stops.
    """

    def __init__(self, start: _Start) -> None:
        self._start = start
        self._pieces: asyncio.Queue[ChatDelta | None] = asyncio.Queue(maxsize=_AHEAD)
        self._task: asyncio.Task[RunResult] | None = None
        self._emitted = False
        self._ended = False

    @property
    def result(self) -> RunResult:
        """The whole result. Raises `Conflict` before the end of the stream, and after one that failed."""
        if self._task is None or not self._task.done() or self._task.cancelled() or self._task.exception() is not None:
            raise Conflict("the run has not ended", hint="Iterate to its end, then read result.")
        return self._task.result()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatDelta:
        if self._ended:
            raise StopAsyncIteration
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        try:
            piece = await self._pieces.get()
        except BaseException:
            self._task.cancel()
            raise
        if piece is None:
            self._ended = True
            await self._task
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Stop the run. After the end it does nothing."""
        self._ended = True
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()  # whoever leaves early does not come for it

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _work(self) -> RunResult:
        try:
            result = await self._start(self._emit)
            if not self._emitted and result.output is not None:
                await self._emit(ChatDelta(text=text_of(result.output)))
            await self._pieces.put(ChatDelta(finish_reason=result.finish_reason, usage=result.usage))
        except asyncio.CancelledError:
            raise
        except BaseException:
            await self._pieces.put(None)
            raise
        await self._pieces.put(None)
        return result

    async def _emit(self, delta: ChatDelta) -> None:
        self._emitted = True
        await self._pieces.put(delta)
