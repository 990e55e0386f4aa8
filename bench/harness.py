"""What the harness adds to a sample: an evaluation against a plain loop that calls the same model and the same scorers.

    python -m bench.harness

The plain loop keeps nothing: no database, no spans, nothing to go on from after a kill. The repeat is the same evaluation
again with nothing changed: every output and every score is known, and the model is not called.
"""

from __future__ import annotations

import asyncio
import sys
import time

from bench.measure import one_thread, report
from bench.parts import CALLER, HERE, open_parts
from tidemill.core.chat import ChatRequest
from tidemill.core.clock import Ids, SystemClock
from tidemill.core.parts import Message
from tidemill.core.records import Sample, Version
from tidemill.evaluation.harness import evaluate
from tidemill.evaluation.scorers.choose import choose_scorers
from tidemill.flows.run import RunContext
from tidemill.store.evaluations import EvaluationRow, create_evaluation
from tidemill.telemetry.recorder import Recorder, null_recorder
from tidemill.telemetry.spool.spool import Spool

FRESH_BUDGET_US, REPEAT_BUDGET_S = 200, 1.0
FRESH, REPEATED = 2_000, 10_000
ROUNDS, CONCURRENCY = 3, 8
SCORERS = ("exact_match", "contains", "token_f1")
PARTS = """
{kind: model, name: echo, provider: test}
---
{kind: prompt, name: ask, text: "Answer in a few words.\\n\\n{{question}}", variables: {question: string}}
---
kind: chain
name: app
inputs: {question: string}
steps:
  - {id: answer, prompt: prompt/ask, model: model/echo, with: {question: "{{question}}"}}
output: "{{answer.text}}"
"""
DATASET = Version(
    project=HERE["project"], kind="dataset", name="questions", number=1, digest="sha256:0",
    spec={"roles": {"input": "question", "reference": "answer"}},
)  # fmt: skip


def make_samples(count, *, round_number):
    """Questions that no earlier round asked."""
    return [
        Sample(
            id=f"s{number:05}",
            input=f"What is the rule for case {number} of round {round_number}, and who may waive it?",
            reference=f"case {number}",
            metadata={"language": "en"},
            digest=f"{round_number}/{number}",
        )
        for number in range(count)
    ]


def now():
    """Wall clock, and CPU of all threads."""
    return time.perf_counter(), time.process_time()


def since(start):
    """Seconds of both."""
    return tuple(end - begin for begin, end in zip(start, now(), strict=True))


def best(rounds):
    """The least of each: other work on the machine can only make one slower."""
    return tuple(map(min, zip(*rounds, strict=True)))


async def at_once(jobs):
    """Run them, as many at once as the harness does."""
    waiting = iter(jobs)

    async def worker():
        for job in waiting:
            await job()

    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(worker())


async def plain_loop(parts, model, samples, scorers, *, recorder):
    """The same model and scorers in the same concurrency, and nothing else; seconds of wall and CPU."""
    results = []

    def job(sample):
        async def ask():
            text = f"Answer in a few words.\n\n{sample.input}"
            request = ChatRequest(model="", messages=(Message.of("user", text),))
            with recorder.trace("bench", kind="llm", project=HERE["project"]) as span:
                output = (await parts.models.chat(model, request, caller=CALLER, span=span)).response.message.text
            fields = {"output": output, "reference": sample.reference}
            results.append([await each.scorer.score(fields) for each in scorers])

        return ask

    start = now()
    await at_once([job(each) for each in samples])
    assert len(results) == len(samples)
    return since(start)


async def engine_loop(parts, samples, *, recorder):
    """The chain engine with its step cache on every sample, without harness and scorers; seconds of wall and CPU."""
    bundle = parts.bundle("chain/app")

    def job(sample):
        async def ask():
            with recorder.trace("bench", kind="chain", project=HERE["project"]) as span:
                context = RunContext(**HERE, span=span)
                await parts.runner.run(bundle, {"question": sample.input}, context=context)

        return ask

    start = now()
    await at_once([job(each) for each in samples])
    return since(start)


async def harness(parts, name, samples, scorers, *, recorder):
    """An evaluation as the server makes it; seconds, and its JSON."""
    bundle = parts.bundle("chain/app")
    row = EvaluationRow(id=name, project=HERE["project"], release=bundle.release, root=bundle.root.ref, dataset=DATASET.ref)
    await parts.database.write(lambda db: create_evaluation(db, row))
    start = now()
    shown = await evaluate(
        **HERE, bundle=bundle, dataset=DATASET, samples=samples, scorers=scorers, runner=parts.runner, recorder=recorder,
        database=parts.database, evaluation_id=name, clock=SystemClock(), concurrency=CONCURRENCY,
    )  # fmt: skip
    return since(start), shown


async def measure(*, fresh=FRESH, repeated=REPEATED, rounds=ROUNDS):
    """Fresh samples, then the repeat. The best of the rounds: other work on the machine can only make one slower."""
    scorers = choose_scorers(SCORERS, dataset=DATASET, project=lambda _: DATASET)
    async with open_parts() as parts:
        versions = parts.apply(PARTS)
        spool, clock = Spool(parts.folder / "spool"), SystemClock()
        recorders = (null_recorder(), Recorder(spool.put, ids=Ids(clock=clock), clock=clock))
        try:
            plain, engine, ours, traced = [], [], [], []
            for number in range(rounds):
                questions = [make_samples(fresh, round_number=4 * number + each) for each in range(3)]
                plain.append(await plain_loop(parts, versions["model/echo"], questions[0], scorers, recorder=recorders[0]))
                engine.append(await engine_loop(parts, questions[1], recorder=recorders[0]))
                for to, found, asked in zip(recorders, (ours, traced), (questions[0], questions[2]), strict=True):
                    took, shown = await harness(parts, f"fresh-{number}-{id(found)}", asked, scorers, recorder=to)
                    assert shown["calls"]["model"] == fresh
                    found.append(took)
            plain, engine, ours, traced = (
                [1e6 / fresh * each for each in best(found)] for found in (plain, engine, ours, traced)
            )
            report("harness", "a fresh sample: engine, cache, scores and rows kept", ours=ours[0] - plain[0], baseline=plain[0],
                   unit="us", baseline_is="a plain loop with the same model and scorers, keeping nothing",
                   budget=FRESH_BUDGET_US, ours_cpu=round(ours[1] - plain[1], 1), engine=round(engine[0] - plain[0], 1),
                   engine_cpu=round(engine[1] - plain[1], 1))  # fmt: skip
            report("harness", "a fresh sample, and its spans on disk", ours=traced[0] - plain[0], baseline=ours[0] - plain[0],
                   unit="us", baseline_is="the harness with spans for nobody")  # fmt: skip
            await repeat(parts, versions["model/echo"], scorers, count=repeated, rounds=rounds)
        finally:
            spool.close()


async def repeat(parts, model, scorers, *, count, rounds):
    """The same evaluation again, with nothing changed."""
    samples = make_samples(count, round_number=-1)
    await harness(parts, "first", samples, scorers, recorder=null_recorder())
    again = []
    for number in range(rounds):
        took, shown = await harness(parts, f"again-{number}", samples, scorers, recorder=null_recorder())
        assert shown["calls"]["model"] == 0
        assert shown["reused"] == {"outputs": count, "scores": count * len(SCORERS)}
        again.append(took)
    baseline = await plain_loop(parts, model, samples, scorers, recorder=null_recorder())
    took, cpu = best(again)
    report("harness", f"a repeat of {count:,} samples with nothing changed", ours=took, baseline=baseline[0], unit="s",
           baseline_is="a plain loop, same model and scorers", budget=REPEAT_BUDGET_S, ours_cpu=round(cpu, 3))  # fmt: skip


def main() -> int:
    one_thread()
    asyncio.run(measure())
    return 0


if __name__ == "__main__":
    sys.exit(main())
