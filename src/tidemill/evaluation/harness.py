"""The harness: an application on every sample of a dataset, scored; nothing done twice, nothing dropped.

Whatever the step cache knows is recalled in bulk; the rest runs concurrently. Each finished sample is kept at once, so that an
evaluation that was killed goes on where it was. A sample that fails is kept with its error and counted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import anyio

from tidemill.core.chat import Usage
from tidemill.core.clock import Clock
from tidemill.core.errors import Invalid, TidemillError
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Bundle, Progress, Sample, SpanKind, Version
from tidemill.evaluation.fields import fields_of, inputs_of, retrieved_of
from tidemill.evaluation.results import Evaluated, SampleResult
from tidemill.evaluation.scorers.choose import Chosen
from tidemill.evaluation.scoring import Scoring
from tidemill.evaluation.summary import summarise
from tidemill.flows.run import RunContext, Runner, RunResult, steps_reading
from tidemill.store import evaluations
from tidemill.store.database import Database
from tidemill.store.evaluations import SampleRow
from tidemill.telemetry import Recorder, null_recorder

Report: TypeAlias = Callable[[Progress], Awaitable[None]]
_BATCH: Final = 1000
_CONCURRENCY: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is evaluated, on what, by what."""

    evaluation: str
    project: str
    environment: str
    bundle: Bundle
    dataset: Version
    scorers: Sequence[Chosen]
    targets: frozenset[str] | None


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
    results: list[SampleResult] = field(default_factory=list[SampleResult])

    async def recall(self, tasks: Sequence[_Task]) -> list[_Task]:
        """Keep what is known already; answers the tasks that must run."""
        span = null_recorder().trace("recall", kind="evaluator", project=self.asked.project)
        left: list[_Task] = []
        for replicate in sorted({task.replicate for task in tasks}):
            group = [task for task in tasks if task.replicate == replicate]
            context = self._context(span, replicate)
            known = await self.runner.recall(self.asked.bundle, [task.inputs for task in group], context=context)
            found = [(task, result) for task, result in zip(group, known, strict=True) if result is not None]
            left += [task for task, result in zip(group, known, strict=True) if result is None]
            made = [_sample_result(task, result, trace=None) for task, result in found]
            fields = [fields_of(task.sample, result) for task, result in found]
            await self._keep(await self.scoring.score_all(list(zip(made, fields, strict=True))))
        return left

    async def run(self, task: _Task) -> None:
        """Run one sample, score it, keep it. Its error, if any, is its result."""
        kind: SpanKind = "agent" if self.asked.bundle.root.kind == "agent" else "chain"
        span = self.recorder.trace(
            self.asked.bundle.root.name,
            kind=kind,
            project=self.asked.project,
            release=self.asked.bundle.release,
            input=task.inputs,
            attributes={"tidemill.evaluation": self.asked.evaluation, "tidemill.sample": task.sample.id},
        )
        try:
            with span:
                result = await self.runner.run(self.asked.bundle, task.inputs, context=self._context(span, task.replicate))
                span.set(output=result.output)
        except TidemillError as error:
            await self._keep([_failed(task, error, trace=span.trace_id)])
            return
        made = _sample_result(task, result, trace=span.trace_id)
        await self._keep(await self.scoring.score_all([(made, fields_of(task.sample, result))]))

    def _context(self, span: object, replicate: int) -> RunContext:
        return RunContext(
            project=self.asked.project,
            environment=self.asked.environment,
            span=span,  # pyright: ignore[reportArgumentType]
            replicate=replicate,
            targets=self.asked.targets,
        )

    async def _keep(self, made: Sequence[SampleResult]) -> None:
        if made:
            rows = [SampleRow(sample=each.sample, replicate=each.replicate, data=each.to_json()) for each in made]
            evaluation = self.asked.evaluation
            await self.database.write(lambda db: evaluations.put_samples(db, evaluation, rows))
            self.results += made
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
    there is no sample or no scorer; what fails in one sample is in that sample's result.
    """
    started = clock.monotonic()
    chosen = samples if limit is None else samples[:limit]
    if not chosen or not scorers:
        raise Invalid(f"{dataset.ref} has no sample" if not chosen else "there is no scorer", hint="Name one: --scorer NAME.")
    asked = Asked(
        evaluation=evaluation_id, project=project, environment=environment, bundle=bundle, dataset=dataset,
        scorers=scorers, targets=_targets(bundle, scorers),
    )  # fmt: skip
    now_ns = clock.now_ns()
    await database.write(lambda db: evaluations.update_evaluation(db, project, evaluation_id, now_ns=now_ns, status="running"))
    before = await database.read(lambda db: evaluations.get_samples(db, evaluation_id))
    harness = _Harness(
        asked=asked, runner=runner, database=database, recorder=recorder, report=report, total=len(chosen) * replicates,
        scoring=Scoring(database=database, project=project, scorers=scorers, clock=clock),
        results=[SampleResult.from_json(each.data) for each in before],
    )  # fmt: skip
    done = {(each.sample, each.replicate) for each in harness.results}
    await _work(harness, _tasks(bundle.root, chosen, replicates, done), concurrency=concurrency)
    shown = _evaluation_json(harness, duration_ms=(clock.monotonic() - started) * 1000)
    ended_ns = clock.now_ns()
    await database.write(
        lambda db: evaluations.update_evaluation(
            db, project, evaluation_id, now_ns=ended_ns, status="done", result=shown, release=bundle.release
        )
    )
    return shown


def _targets(bundle: Bundle, scorers: Sequence[Chosen]) -> frozenset[str] | None:
    if bundle.root.kind != "chain":
        return None
    reads = frozenset[str]().union(*(each.scorer.reads for each in scorers))
    return steps_reading(bundle.root.spec, reads) or None


def _tasks(root: Version, samples: Sequence[Sample], replicates: int, done: set[tuple[str, int]]) -> Iterator[_Task]:
    for replicate in range(replicates):
        for sample in samples:
            if (sample.id, replicate) not in done:
                yield _Task(sample=sample, replicate=replicate, inputs=inputs_of(root, sample))


async def _work(harness: _Harness, tasks: Iterator[_Task], *, concurrency: int) -> None:
    """Recall in batches; run what is left, `concurrency` at a time."""
    everything = list(tasks)
    for start in range(0, len(everything), _BATCH):
        left = iter(await harness.recall(everything[start : start + _BATCH]))

        async def worker(waiting: Iterator[_Task]) -> None:
            for task in waiting:
                await harness.run(task)

        async with anyio.create_task_group() as group:
            for _ in range(concurrency):
                group.start_soon(worker, left)


def _sample_result(task: _Task, result: RunResult, *, trace: str | None) -> SampleResult:
    reused = any(step.reused for step in result.steps.values())
    took = sum(step.latency_ms for step in result.steps.values()) if reused else result.latency_ms
    cost = None if result.cost is None or result.saved_cost is None else result.cost + result.saved_cost
    calls = result.calls
    return SampleResult(
        sample=task.sample.id,
        digest=task.sample.digest,
        replicate=task.replicate,
        input=task.sample.input,
        output=result.output,
        retrieved=tuple(retrieved_of(result)),
        latency_ms=took,
        cost=cost,
        spent=result.cost,
        usage=result.usage + result.saved_usage,
        calls={"model": calls.model, "embed": calls.embed, "retrieve": calls.retrieve, "tool": calls.tool},
        reused=reused,
        metadata=dict(task.sample.metadata),
        trace=trace,
    )


def _failed(task: _Task, error: TidemillError, *, trace: str) -> SampleResult:
    return replace(
        SampleResult(sample=task.sample.id, digest=task.sample.digest, replicate=task.replicate, trace=trace),
        input=task.sample.input,
        error=str(error),
        metadata=dict(task.sample.metadata),
    )


def _evaluation_json(harness: _Harness, *, duration_ms: float) -> JsonObject:
    asked, results = harness.asked, sorted(harness.results, key=lambda each: (each.sample, each.replicate))
    steps = None if asked.targets is None else tuple(sorted(asked.targets))
    evaluated = Evaluated(
        id=asked.evaluation,
        release=asked.bundle.release,
        dataset=asked.dataset.ref,
        scorers={each.metric: each.digest for each in asked.scorers},
        binary=frozenset(each.metric for each in asked.scorers if each.scorer.binary),
        steps=steps,
        results=results,
    )
    usage = sum((each.usage for each in results), Usage())
    spent = [each.spent for each in results if each.error is None]
    known = [each for each in spent if each is not None]
    calls: dict[str, Json] = {
        name: sum(each.calls.get(name, 0) for each in results) for name in ("model", "embed", "retrieve", "tool")
    }
    whole = sum(1 for each in results if each.reused and not any(each.calls.values()))
    return {
        "id": asked.evaluation,
        "app": asked.bundle.root.ref,
        "release": asked.bundle.release,
        "dataset": asked.dataset.ref,
        "status": "done",
        "samples": len(results),
        "errors": sum(1 for each in results if each.error is not None),
        "metrics": dict(summarise(evaluated)),
        "reused": {"outputs": whole, "scores": sum(each.reused_scores for each in results)},
        "calls": calls,
        "usage": {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens},
        "cost": sum(known) if len(known) == len(spent) else None,
        "duration_ms": duration_ms,
        "scorers": {each.metric: {"digest": each.digest, "binary": each.scorer.binary} for each in asked.scorers},
        "steps": None if steps is None else list(steps),
    }
