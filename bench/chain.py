"""What the engine adds to a step: the same functions in the same graph by the chain engine and by bare asyncio.

    python -m bench.chain

Ten steps in a row, then ten where eight run side by side. The engine runs each twice: with spans for nobody, and with spans
for the spool on disk. The functions only add, so that all that is measured is overhead.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from dataclasses import dataclass

from bench.measure import report
from bench.parts import CALLER, HERE, open_parts
from tidemill.core.chat import ChatRequest
from tidemill.core.clock import Ids, SystemClock
from tidemill.core.parts import Message, Text
from tidemill.flows.run import RunContext
from tidemill.telemetry.recorder import Recorder, null_recorder
from tidemill.telemetry.spool.spool import Spool

STEP_BUDGET_US, SPAN_BUDGET_US = 100, 60
STEPS, WIDTH = 10, 8
ROUNDS, RUNS = 60, 8
BARE = "bare asyncio, the same functions in the same graph"
CODE = "async def add(n):\n    return n + 1\n\n\nasync def total(numbers):\n    return sum(numbers)\n"
PARTS = """
{kind: function, name: add, call: "bench_steps:add", parameters: {type: object}}
---
{kind: function, name: total, call: "bench_steps:total", parameters: {type: object}}
---
{kind: model, name: echo, provider: test, reply: "{{input}}"}
---
{kind: prompt, name: say, text: "{{n}}", variables: {n: integer}}
"""


def chain(name, steps, output):
    lines = "\n".join(f"  - {each}" for each in steps)
    return f"---\nkind: chain\nname: {name}\ninputs: {{n: integer}}\nsteps:\n{lines}\noutput: '{output}'\n"


def row():
    names = ["n", *(f"s{each}" for each in range(STEPS))]
    steps = [
        f"{{id: {name}, function: function/add, with: {{n: '{{{{{before}}}}}'}}}}" for before, name in itertools.pairwise(names)
    ]
    return chain("row", steps, f"{{{{{names[-1]}}}}}")


def fan():
    steps = ["{id: s0, function: function/add, with: {n: '{{n}}'}}"]
    steps += [f"{{id: s{each}, function: function/add, with: {{n: '{{{{s0}}}}'}}}}" for each in range(1, WIDTH + 1)]
    numbers = ", ".join(f"'{{{{s{each}}}}}'" for each in range(1, WIDTH + 1))
    steps.append(f"{{id: last, function: function/total, with: {{numbers: [{numbers}]}}}}")
    return chain("fan", steps, "{{last}}")


def said():
    return chain("said", ["{id: say, prompt: prompt/say, model: model/echo, with: {n: '{{n}}'}}"], "{{say.text}}")


async def add(n):
    return n + 1


async def total(numbers):
    return sum(numbers)


async def bare_row(n):
    for _ in range(STEPS):
        n = await add(n)
    return n


async def bare_fan(n):
    first = await add(n)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(add(first)) for _ in range(WIDTH)]
    return await total([each.result() for each in tasks])


@dataclass(kw_only=True)
class Ours:
    """A chain, run by the engine."""

    runner: object
    bundle: object
    recorder: Recorder

    async def __call__(self, n):
        with self.recorder.trace("bench", kind="chain", project=HERE["project"]) as span:
            context = RunContext(**HERE, span=span, reuse=False)
            return (await self.runner.run(self.bundle, {"n": n}, context=context)).output


async def microseconds(ways, *, runs):
    """The best time of one run of each way, by turns: other work here can only make one slower. All must answer alike."""
    assert len({str(await each(1)) for each in ways}) == 1
    times = [[] for _ in ways]
    for _ in range(ROUNDS):
        for way, found in zip(ways, times, strict=True):
            start = time.perf_counter()
            for _ in range(runs):
                await way(1)
            found.append((time.perf_counter() - start) / runs * 1e6)
    return [min(each) for each in times]


async def bare_said(models, model):
    """The same model asked the same, by the models' own service and by nothing else."""
    recorder = null_recorder()

    async def ask(n):
        request = ChatRequest(model="", messages=(Message(role="user", parts=(Text(text=str(n)),)),))
        with recorder.trace("bench", kind="llm", project=HERE["project"]) as span:
            return (await models.chat(model, request, caller=CALLER, span=span)).response.message.text

    return ask


async def measure(*, runs=RUNS):
    async with open_parts() as parts:
        parts.code("bench_steps", CODE)
        versions = parts.apply(PARTS + row() + fan() + said())
        spool = Spool(parts.folder / "spool")
        clock = SystemClock()
        recorders = (null_recorder(), Recorder(spool.put, ids=Ids(clock=clock), clock=clock))
        try:
            for name, bare, steps in (("row", bare_row, STEPS), ("fan", bare_fan, WIDTH + 2)):
                bundle = parts.bundle(f"chain/{name}")
                ours = [Ours(runner=parts.runner, bundle=bundle, recorder=each) for each in recorders]
                baseline, engine, traced = await microseconds([bare, *ours], runs=runs)
                what = "in a row" if name == "row" else f"{WIDTH} side by side"
                report("chain", f"a step, {steps} steps {what}", ours=(engine - baseline) / steps, baseline=baseline / steps,
                       unit="us", baseline_is=BARE, budget=STEP_BUDGET_US)  # fmt: skip
                report("chain", f"a step and its span on disk, {steps} steps {what}", ours=(traced - baseline) / steps,
                       baseline=(engine - baseline) / steps, unit="us", baseline_is="the engine with spans for nobody",
                       budget=STEP_BUDGET_US + SPAN_BUDGET_US)  # fmt: skip
            ours = Ours(runner=parts.runner, bundle=parts.bundle("chain/said"), recorder=recorders[0])
            asked = await bare_said(parts.models, versions["model/echo"])
            baseline, engine = await microseconds([asked, ours], runs=runs)
            report("chain", "a prompt step, model in no time", ours=engine, baseline=baseline, unit="us",
                   baseline_is="the model's service asked directly")  # fmt: skip
        finally:
            spool.close()


def main() -> int:
    asyncio.run(measure())
    return 0


if __name__ == "__main__":
    sys.exit(main())
