"""The kernel two-sample test against plain NumPy, and what watching costs a served request.

    python -m bench.monitor

MMD with 100 permutations, 384 dimensions, one thread. The plain form makes the kernel matrix once and takes the three means of
each permutation by indexing; at 5,000 rows a few permutations are timed and the rest counted at the same pace, because all of
them take minutes. A request is served by `tidemill up` with the test provider, alone and while a monitor looks at its traffic.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import family_cpu, one_thread, python, report

one_thread()

import aiohttp  # noqa: E402
import numpy as np  # noqa: E402  (after the engines were given their one thread)
import orjson  # noqa: E402

from tidemill.monitor.mmd import mmd_test  # noqa: E402

PERMUTATIONS, WIDTH = 100, 384
SIZES = {500: (5, PERMUTATIONS), 5_000: (1, 3)}  # rounds, and permutations of the plain form that are timed
REQUESTS, WARM_UP = 300, 50
MAIN = "from tidemill.cli.main import main; main()"
FILES = """
kind: model
name: said
provider: test
reply: "answered"
---
kind: prompt
name: route
model: model/said
text: "{{question}}"
variables: [question]
---
kind: embedder
name: words
provider: test
---
kind: dataset
name: questions
path: rows.jsonl
roles: {input: question}
---
kind: monitor
name: watch
endpoint: endpoint/route
reference: dataset/questions
embedder: embedder/words
tests: [tokens, vocabulary, topics, embeddings]
"""


def plain(x, y, *, permutations, timed, seed=0):
    """MMD's p-value in the plain form, and the seconds that all permutations take."""
    generator = np.random.default_rng(seed)
    start = time.perf_counter()
    pooled = np.concatenate([x, y])
    squared = (pooled**2).sum(1)[:, None] + (pooled**2).sum(1)[None] - 2 * pooled @ pooled.T
    kernel = np.exp(-np.maximum(squared, 0) / (2 * np.median(squared[np.triu_indices(min(len(squared), 1000), 1)])))
    np.fill_diagonal(kernel, 0)
    n, m = len(x), len(y)

    def statistic(a, b):
        within = kernel[np.ix_(a, a)].sum() / (n * (n - 1)) + kernel[np.ix_(b, b)].sum() / (m * (m - 1))
        return within - 2 * kernel[np.ix_(a, b)].mean()

    observed = statistic(np.arange(n), np.arange(n, n + m))
    once = time.perf_counter() - start
    start = time.perf_counter()
    above = 0
    for _ in range(timed):
        order = generator.permutation(n + m)
        above += statistic(order[:n], order[n:]) >= observed
    each = (time.perf_counter() - start) / timed
    return (1 + above) / (1 + timed), once + each * permutations


def measure_mmd():
    for size, (rounds, timed) in SIZES.items():
        generator = np.random.default_rng(size)
        x, y = (generator.normal(size=(size, WIDTH)).astype(np.float32) for _ in range(2))
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            found = mmd_test(x, y, permutations=PERMUTATIONS)
            seconds.append(time.perf_counter() - start)
        theirs = [plain(x, y, permutations=PERMUTATIONS, timed=timed)[1] for _ in range(rounds)]
        report("monitor", f"MMD, {size} x {size} x {WIDTH}, {PERMUTATIONS} permutations",
               ours=statistics.median(seconds) * 1000, baseline=statistics.median(theirs) * 1000, unit="ms",
               baseline_is="plain NumPy, the kernel once, three means a permutation" + (
                   "" if timed == PERMUTATIONS else f"; {timed} permutations timed"),
               permutations_timed=timed, p_value=found.p_value)  # fmt: skip


class Served:
    """A server in a folder of its own."""

    def __init__(self, folder: Path):
        (folder / "tidemill").mkdir()
        (folder / "tidemill.toml").touch()
        (folder / "tidemill" / "app.yaml").write_text(FILES)
        rows = [orjson.dumps({"question": f"where is my order {number} of {number % 17} shoes"}) for number in range(500)]
        (folder / "tidemill" / "rows.jsonl").write_bytes(b"\n".join(rows))
        self.folder = folder
        self.environ = {**os.environ, "TIDEMILL_DATA": str(folder / ".tidemill")}
        command = [python(), "-c", MAIN, "up", "--port", "0", "--otlp-grpc-port", "0", "--no-open", "--json"]
        self.process = subprocess.Popen(command, cwd=folder, env=self.environ, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        ready = orjson.loads(self.process.stdout.readline())
        self.url = ready["url"]
        self.headers = {"authorization": f"Bearer {Path(ready['token_file']).read_text().strip()}"}

    def call(self, *arguments):
        command = [python(), "-c", MAIN, *arguments, "--json"]
        return subprocess.run(command, cwd=self.folder, env=self.environ, check=True, capture_output=True).stdout

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.process.stdout.close()


async def ask(session, url, count, *, start):
    """The seconds that each of `count` requests took, one after another."""
    found = []
    for number in range(start, start + count):
        body = {"model": "endpoint/route", "messages": [{"role": "user", "content": f"where is order {number % 500}"}]}
        began = time.perf_counter()
        async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()
        found.append(time.perf_counter() - began)
    return found


async def look(session, url):
    """One run of the monitor, to its end."""
    base = f"{url}/api/v1/projects/default"
    async with session.post(f"{base}/monitor-runs", json={"monitor": "watch"}) as answer:
        run = (await answer.json())["run"]
    async with session.get(f"{base}/jobs/{run}/events") as events:
        async for _ in events.content:
            pass
    async with session.get(f"{base}/monitor-runs/{run}") as answer:
        return await answer.json()


async def measure_overhead(served):
    async with aiohttp.ClientSession(headers=served.headers) as session:
        await ask(session, served.url, WARM_UP, start=0)
        alone = await ask(session, served.url, REQUESTS, start=0)
        await look(session, served.url)  # what is imported once and embedded once is no request's cost
        before = family_cpu(served.process.pid)
        found = await look(session, served.url)
        seen, spent = found["window"]["n"], family_cpu(served.process.pid) - before
        again = await ask(session, served.url, REQUESTS, start=0)
        looking = asyncio.create_task(look(session, served.url))
        meanwhile = []
        while not looking.done():
            meanwhile += await ask(session, served.url, 10, start=0)
        await looking
    quiet = [*alone, *again]
    report("monitor", "a served request, p50, between two looks of a monitor", ours=statistics.median(again) * 1000,
           baseline=statistics.median(alone) * 1000, unit="ms", baseline_is="the same server before the first look",
           requests=REQUESTS)  # fmt: skip
    report("monitor", "a served request, p50, while a monitor looks", ours=statistics.median(meanwhile) * 1000,
           baseline=statistics.median(quiet) * 1000, unit="ms", baseline_is="the same server while none looks",
           requests=len(meanwhile), p95=round(statistics.quantiles(meanwhile, n=20)[-1] * 1000, 2))  # fmt: skip
    report("monitor", "CPU of a look, a request looked at", ours=spent / seen * 1e6,
           baseline=statistics.median(quiet) * 1e6, unit="us", baseline_is="the time of serving the request",
           requests=seen, simulations=1000)  # fmt: skip


def main() -> int:
    measure_mmd()
    with tempfile.TemporaryDirectory() as folder:
        served = Served(Path(folder))
        try:
            served.call("apply")
            served.call("deploy", "prompt/route", "--to", "endpoint/route")
            asyncio.run(measure_overhead(served))
        finally:
            served.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
