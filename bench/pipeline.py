"""What a pipeline adds to a step: functions that do nothing, as durable steps and as plain calls in the same graph.

    python -m bench.pipeline

A step is noted as begun and as done, each in a transaction of its own, before what needs it begins; the same two writes by
themselves are shown beside it. A run whose outputs are all used again costs one write a step.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import report
from bench.parts import HERE
from tidemill.core.clock import Ids, SystemClock
from tidemill.core.documents import load_documents
from tidemill.pipelines.kinds import PipelineKind
from tidemill.pipelines.python import call_python
from tidemill.pipelines.service import Pipelines
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.files import FilesFolder
from tidemill.store.plan import apply_plan
from tidemill.store.projects import ensure_project

STEPS, ROUNDS = 20, 12
BARE = "plain calls of the same functions on a thread"
CODE = "def nothing(n=0, round=0):\n    return n\n"


def nothing(n=0):
    return n


def spec(name, *, in_a_row):
    steps = []
    for number in range(STEPS):
        before = f"{{{{s{number - 1}}}}}" if in_a_row and number else number
        steps.append(f'  - {{id: s{number}, python: "bench_nothing:nothing", with: {{n: "{before}", round: "{{{{round}}}}"}}}}')
    return f"kind: pipeline\nname: {name}\ninputs: {{round: 0}}\nsteps:\n" + "\n".join(steps)


async def bare(*, in_a_row):
    if in_a_row:
        for number in range(STEPS):
            await asyncio.to_thread(nothing, number)
    else:
        await asyncio.gather(*(asyncio.to_thread(nothing, number) for number in range(STEPS)))


async def writes(database):
    for number in range(2 * STEPS):
        await database.write(lambda db, number=number: ensure_project(db, f"p{number % 2}-{time.time_ns()}", now_ns=number))


async def milliseconds(work):
    """The best time of a step: other work here can only make one slower."""
    times = []
    for number in range(ROUNDS):
        start = time.perf_counter()
        await work(number)
        times.append((time.perf_counter() - start) / STEPS * 1e3)
    return min(times)


async def measure(folder):
    database, clock = Database.open(folder / "meta.db"), SystemClock()
    (folder / "bench_nothing.py").write_text(CODE)
    sys.path.insert(0, str(folder))
    pipelines = Pipelines(database=database, clock=clock, ids=Ids(clock=clock), handlers={"python": call_python})

    async def run(name, number):
        begun = await pipelines.begin(HERE["project"], name, {"round": number}, who="bench")
        ended = await pipelines.wait(begun.id)
        assert ended.status == "done", ended.error

    try:
        for name, in_a_row in (("row", True), ("fan", False)):
            text = spec(name, in_a_row=in_a_row)
            await database.write(
                lambda db, text=text: apply_plan(
                    db, **HERE, kinds={"pipeline": PipelineKind()}, now_ns=time.time_ns(),
                    files=FilesFolder({}, Blobs(folder / "blobs", HERE["project"])),
                    documents=load_documents(text, path="bench.yaml"),
                )
            )  # fmt: skip
            what = f"{STEPS} in a row" if in_a_row else f"{STEPS} side by side"
            baseline = await milliseconds(lambda _, in_a_row=in_a_row: bare(in_a_row=in_a_row))
            ours = await milliseconds(lambda number, name=name: run(name, number + 1))
            report("pipeline", f"a step, {what}", ours=ours, baseline=baseline, unit="ms", baseline_is=BARE)
            again = await milliseconds(lambda _, name=name: run(name, 1))
            report("pipeline", f"a step used again, {what}", ours=again, baseline=ours, unit="ms", baseline_is="run anew")
            two = await milliseconds(lambda _: writes(database))
            report("pipeline", f"a step, {what}, beside its writes", ours=ours, baseline=two, unit="ms",
                   baseline_is="two transactions of the same database")  # fmt: skip
    finally:
        await pipelines.stop()
        database.close()


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
