"""The harness: an application on every sample of a dataset, scored; nothing done twice, nothing dropped.

Whatever the step cache knows is recalled in bulk; the rest runs concurrently. Finished samples are scored and kept as they
come, so that an evaluation that was killed goes on where it was. A sample that fails is kept with its error and counted.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias, cast

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.errors import Invalid, StorageFull, TidemillError
from tidemill.core.json import JsonObject
from tidemill.core.records import Bundle, Progress, Sample, SpanKind, Version
from tidemill.evaluation.extra import require_eval
from tidemill.evaluation.fields import fields_of, filling, retrieve_step
from tidemill.evaluation.outcome import Asked, evaluation_json
from tidemill.evaluation.results import SampleResult
from tidemill.evaluation.scorers.choose import Chosen
from tidemill.evaluation.scoring import Finished, Scored, Scoring
from tidemill.flows.results import add_cost
from tidemill.flows.run import RunContext, Runner, RunResult, steps_reading
from tidemill.store import cache, evaluations
from tidemill.store.database import Database
from tidemill.store.evaluations import SampleRow
from tidemill.telemetry import Recorder, Span, null_recorder

Report: TypeAlias = Callable[[Progress], Awaitable[None]]
_BATCH: Final = 500
_CONCURRENCY: Final = 8
_WAITING: Final = 128
_TOGETHER_S: Final = 0.05


class _Note(Protocol):
    async def __call__(self, status: evaluations.EvaluationStatus, result: JsonObject | None = None) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    """One run of one sample."""

    sample: Sample
    replicate: int
    inputs: JsonObject


@dataclass(kw_only=True)
class _Harness:
    asked: Asked
    runner: Runner
    database: Database
    recorder: Recorder
    report: Report | None
    total: int
    scoring: Scoring
    targets: frozenset[str] | None
    retrieve: str | None
    results: list[SampleResult] = field(default_factory=list[SampleResult])

    async def work(self, tasks: Sequence[_Task], *, concurrency: int) -> None:
        """Recall in batches; run what is left, `concurrency` at a time; keep what is finished meanwhile."""
        finished, arriving = anyio.create_memory_object_stream[Sequence[Finished]](_WAITING)
        over = anyio.Event()
        async with anyio.create_task_group() as keeping:
            keeping.start_soon(self._keep, arriving, over)
            async with finished:
                for start in range(0, len(tasks), _BATCH):
                    left = iter(await self._recall(tasks[start : start + _BATCH], finished))
                    async with anyio.create_task_group() as running:
                        for _ in range(concurrency):
                            running.start_soon(self._run_each, left, finished)
            over.set()

    async def _recall(self, tasks: Sequence[_Task], finished: MemoryObjectSendStream[Sequence[Finished]]) -> list[_Task]:
        """Pass on what is known already; answers the tasks that must run."""
        span = null_recorder().trace("recall", kind="evaluator", project=self.asked.project)
        left: list[_Task] = []
        for replicate in sorted({task.replicate for task in tasks}):
            group = [task for task in tasks if task.replicate == replicate]
            context = self._context(span, replicate)
            known = await self.runner.recall(self.asked.bundle, [task.inputs for task in group], context=context)
            found = list(zip(group, known, strict=True))
            left += [task for task, result in found if result is None]
            recalled = [self._finished(task, result, trace=None) for task, result in found if result is not None]
            if recalled:
                await finished.send(recalled)
        return left

    async def _run_each(self, tasks: Iterator[_Task], finished: MemoryObjectSendStream[Sequence[Finished]]) -> None:
        for task in tasks:
            await finished.send([await self._run(task)])

    async def _run(self, task: _Task) -> Finished:
        """Run one sample. Its error, if any, is its result."""
        asked = self.asked
        kind: SpanKind = "agent" if asked.bundle.root.kind == "agent" else "chain"
        span = self.recorder.trace(
            asked.bundle.root.name,
            kind=kind,
            project=asked.project,
            release=asked.bundle.release,
            input=task.inputs,
            attributes={"tidemill.evaluation": asked.evaluation, "tidemill.sample": task.sample.id},
        )
        try:
            with span:
                result = await self.runner.run(asked.bundle, task.inputs, context=self._context(span, task.replicate))
                span.set(output=result.output, usage=result.usage, cost=result.cost)
        except StorageFull:
            raise  # no sample's fault, and nothing more could be kept
        except TidemillError as error:
            return Finished(make=_failed(task, error, trace=span.trace_id), fields=None)
        return self._finished(task, result, trace=span.trace_id)

    def _finished(self, task: _Task, result: RunResult, *, trace: str | None) -> Finished:
        fields = fields_of(task.sample, result, step=self.retrieve)
        return Finished(make=_sample_result(task, result, fields=fields, trace=trace), fields=fields)

    def _context(self, span: Span, replicate: int) -> RunContext:
        return RunContext(
            project=self.asked.project,
            environment=self.asked.environment,
            span=span,
            replicate=replicate,
            targets=self.targets,
        )

    async def _keep(self, arriving: MemoryObjectReceiveStream[Sequence[Finished]], over: anyio.Event) -> None:
        """Score and keep what has arrived, as much at once as there is.

        Between small groups it lets a few more arrive: what a kill takes from there was in the step cache, and is not lost.
        """
        async with arriving:
            async for first in arriving:
                waiting = [*first]
                while len(waiting) < _BATCH and arriving.statistics().current_buffer_used:
                    waiting += arriving.receive_nowait()
                await self._keep_at_once(await self.scoring.score_all(waiting))
                if len(waiting) < _WAITING:
                    with anyio.move_on_after(_TOGETHER_S):
                        await over.wait()

    async def _keep_at_once(self, scored: Scored) -> None:
        rows = [SampleRow(sample=each.sample, replicate=each.replicate, data=each.to_json()) for each in scored.results]

        def keep(db: Connection) -> None:
            cache.put_scores(db, self.asked.project, scored.fresh)
            evaluations.put_samples(db, self.asked.evaluation, rows)

        await self.database.write(keep)
        self.results += scored.results
        if self.report is not None:
            await self.report(Progress(done=len(self.results), total=self.total, unit="samples"))


async def evaluate(  # noqa: PLR0913  (each is a part or a choice of the caller)
    *,
    bundle: Bundle,
    dataset: Version,
    samples: Sequence[Sample],
    scorers: Sequence[Chosen],
    runner: Runner,
    database: Database,
    recorder: Recorder,
    project: str,
    environment: str,
    evaluation_id: str,
    clock: Clock,
    limit: int | None = None,
    replicates: int = 1,
    concurrency: int = _CONCURRENCY,
    report: Report | None = None,
) -> JsonObject:
    """Evaluate and answer the evaluation's JSON, which is also kept in its row.

    Only the steps that some scorer reads from are run: scorers of retrieval alone make no model call. Raises `Invalid` when
    there is no sample or no scorer, and `MissingExtra` before anything is run; what fails in one sample is in that sample's
    result. Whatever else is raised leaves the row `failed`, and a cancellation `cancelled`: the same id goes on from there.
    """
    started = clock.monotonic()
    asked = Asked(
        evaluation=evaluation_id, project=project, environment=environment, bundle=bundle, dataset=dataset, scorers=scorers,
        steps=_targets(bundle, scorers),
    )  # fmt: skip
    async with _noted(asked, database=database, clock=clock) as note:
        harness = await _prepared(
            asked=asked, samples=samples[:limit], replicates=replicates, runner=runner, database=database, recorder=recorder,
            report=report, clock=clock,
        )  # fmt: skip
        await harness.work(list(_tasks(bundle.root, samples[:limit], replicates, harness.results)), concurrency=concurrency)
        duration_ms = (clock.monotonic() - started) * 1000
        shown = await anyio.to_thread.run_sync(lambda: evaluation_json(asked, harness.results, duration_ms=duration_ms))
        await note("done", shown)
    return shown


@contextlib.asynccontextmanager
async def _noted(asked: Asked, *, database: Database, clock: Clock) -> AsyncGenerator[_Note]:
    """Keep the evaluation's row true: `running` inside, `failed` or `cancelled` when it is left so."""

    async def note(status: evaluations.EvaluationStatus, result: JsonObject | None = None) -> None:
        now_ns, release = clock.now_ns(), asked.bundle.release
        await database.write(
            lambda db: evaluations.update_evaluation(
                db, asked.project, asked.evaluation, now_ns=now_ns, status=status, result=result, release=release
            )
        )

    await note("running")
    try:
        yield note
    except Exception as error:
        with contextlib.suppress(TidemillError):  # what went wrong first is the news
            await note("failed")
        raise _first(error) from error
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await note("cancelled")
        raise


async def _prepared(
    *,
    asked: Asked,
    samples: Sequence[Sample],
    replicates: int,
    runner: Runner,
    database: Database,
    recorder: Recorder,
    report: Report | None,
    clock: Clock,
) -> _Harness:
    """The harness with what an earlier, killed run of the same evaluation has finished."""
    require_eval(needed_for="an evaluation")
    if not samples:
        raise Invalid(f"{asked.dataset.ref} has no sample")
    if not asked.scorers:
        raise Invalid("there is no scorer", hint="Name one: --scorer NAME.")
    before = await database.read(lambda db: evaluations.get_samples(db, asked.evaluation))
    return _Harness(
        asked=asked,
        runner=runner,
        database=database,
        recorder=recorder,
        report=report,
        total=len(samples) * replicates,
        scoring=Scoring(database=database, project=asked.project, scorers=asked.scorers, clock=clock),
        targets=None if asked.steps is None else frozenset(asked.steps),
        retrieve=retrieve_step(asked.bundle.root),
        results=[SampleResult.from_json(each.data) for each in before],
    )


def _targets(bundle: Bundle, scorers: Sequence[Chosen]) -> tuple[str, ...] | None:
    """The steps of a chain that some scorer reads from; None for all."""
    if bundle.root.kind != "chain":
        return None
    reads = frozenset[str]().union(*(each.scorer.reads for each in scorers))
    return tuple(sorted(steps_reading(bundle.root.spec, reads))) or None


def _tasks(root: Version, samples: Sequence[Sample], replicates: int, finished: Sequence[SampleResult]) -> Iterator[_Task]:
    done = {(each.sample, each.replicate) for each in finished}
    fill = filling(root)
    for replicate in range(replicates):
        for sample in samples:
            if (sample.id, replicate) not in done:
                yield _Task(sample=sample, replicate=replicate, inputs=fill(sample))


def _sample_result(task: _Task, result: RunResult, *, fields: JsonObject, trace: str | None) -> Callable[..., SampleResult]:
    reused = any(step.reused or step.warm for step in result.steps.values())
    took = sum(step.latency_ms for step in result.steps.values()) if reused else result.latency_ms
    calls = result.calls
    return functools.partial(
        SampleResult,
        sample=task.sample.id,
        digest=task.sample.digest,
        replicate=task.replicate,
        input=task.sample.input,
        output=result.output,
        retrieved=cast("Sequence[str]", fields["retrieved"] or ()),
        latency_ms=took,
        cost=add_cost(result.cost, result.saved_cost),
        spent=result.cost,
        usage=result.usage + result.saved_usage,
        spent_usage=result.usage,
        calls={"model": calls.model, "embed": calls.embed, "retrieve": calls.retrieve, "tool": calls.tool},
        reused=reused,
        metadata=task.sample.metadata,
        trace=trace,
    )


def _failed(task: _Task, error: TidemillError, *, trace: str) -> Callable[..., SampleResult]:
    return functools.partial(
        SampleResult,
        sample=task.sample.id,
        digest=task.sample.digest,
        replicate=task.replicate,
        input=task.sample.input,
        error=str(error),
        metadata=task.sample.metadata,
        trace=trace,
    )


def _first(error: Exception) -> Exception:
    """The first of what went wrong side by side."""
    while isinstance(error, ExceptionGroup):
        error = cast("ExceptionGroup[Exception]", error).exceptions[0]
    return error
