"""What a span costs: made, filled and spooled, against one plain JSON line appended to a file; and on to the span store.

    python -m bench.telemetry

Every span is that of a model call, about a kilobyte as JSON, with words of its own. Both ways end with their file synced.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import family_cpu, report
from bench.synthetic import Words
from tidemill.core.chat import Usage
from tidemill.core.clock import Ids, SystemClock
from tidemill.core.records import SpanRecord
from tidemill.telemetry.recorder import Recorder
from tidemill.telemetry.row import encode_row
from tidemill.telemetry.spool.spool import Spool
from tidemill.telemetry.store import Telemetry

SPANS, ROUNDS, STORED, BATCH = 4000, 7, 40_000, 1000
SPAN_BUDGET_US, STORE_BUDGET, BYTES_BUDGET = 60, 20_000, 500
WORDS = 60, 24
PART = re.compile(r"\d{6}_(\d+)_(\d+)_(\d+)")
ATTRIBUTES = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "test", "tidemill.connection": "test"}
USAGE = Usage(input_tokens=120, output_tokens=24)


def texts(count):
    """A question and an answer each, as a model's call has them."""
    words = Words()
    return [
        ({"messages": [{"role": "user", "content": words.text(WORDS[0])}]}, {"text": words.text(WORDS[1]), "tool_calls": []})
        for _ in range(count)
    ]


def spooled(folder, calls):
    """Seconds a span for whoever makes it, and until the last is safe."""
    clock = SystemClock()
    spool = Spool(folder)
    recorder = Recorder(spool.put, ids=Ids(clock=clock), clock=clock)
    start = time.perf_counter()
    with recorder.trace("bench", kind="chain", project="default", release="sha256:" + "0" * 64) as root:
        for question, answer in calls:
            with root.child("answer", kind="llm", step="answer", input=question) as span:
                span.set(output=answer, usage=USAGE, cost=0.00021, model="test", attributes=ATTRIBUTES)
    made = time.perf_counter() - start
    spool.close()
    took = time.perf_counter() - start
    assert spool.dropped == 0
    return made / len(calls), took / len(calls)


def appended(path, calls):
    """Seconds a span for a plain append of the same values, and until the file is synced."""
    start = time.perf_counter()
    with path.open("a") as file:
        for number, (question, answer) in enumerate(calls):
            began = time.time_ns()
            row = {
                "project": "default", "trace_id": "0" * 32, "span_id": f"{number:016x}", "parent_id": "0" * 16,
                "name": "answer", "kind": "llm", "step": "answer", "start": began, "duration_ns": time.time_ns() - began,
                "input": question, "output": answer, "model": "test", "input_tokens": 120, "output_tokens": 24,
                "cost": 0.00021, "release": "sha256:" + "0" * 64, "attributes": ATTRIBUTES,
            }  # fmt: skip
            file.write(json.dumps(row) + "\n")
        made = time.perf_counter() - start
        file.flush()
        os.fsync(file.fileno())
    return made / len(calls), (time.perf_counter() - start) / len(calls)


def record(number, question=None, answer=None):
    """A finished span that somebody else made, as when OpenTelemetry sends it."""
    start, root = 1_790_000_000_000_000_000 + number * 1_000_000, number // 10 * 10
    return SpanRecord(
        trace_id=f"{number // 10:032x}", span_id=f"{number:016x}", parent_id=f"{root:016x}" if number != root else None,
        name="answer", kind="llm", start_ns=start, end_ns=start + 2_000_000 + number % 977, project="default", status="ok",
        input=question, output=answer, model="test", usage=USAGE, cost=0.00021, step="answer", attributes=ATTRIBUTES,
    )  # fmt: skip


async def store(folder, records):
    """Spans a CPU second, of this process and the span store's, from records to where they can be queried; bytes on disk."""
    async with Telemetry(folder) as telemetry:
        await telemetry.append([record(len(records))])
        await telemetry.flush(timeout=60)  # the store's process has started
        before = family_cpu(os.getpid())
        for start in range(0, len(records), BATCH):
            await telemetry.append(records[start : start + BATCH])
        await telemetry.flush(timeout=120)
        rate = len(records) / (family_cpu(os.getpid()) - before)
    return rate, sum(map(folder_bytes, live_parts(folder / "spans"))) / len(records)


def live_parts(folder):
    """The folders of the store's parts that no merged part replaces; those that were merged stay for some minutes more."""
    parts = {}
    for each in folder.rglob("*"):
        if found := PART.fullmatch(each.name):
            first, last, level = map(int, found.groups())
            parts[each] = (each.parent, first, last, level)
    for each, (table, first, last, level) in parts.items():
        others = (other for path, other in parts.items() if path != each and other[0] == table)
        if not any(start <= first and last <= end and level < above for _, start, end, above in others):
            yield each


def folder_bytes(folder):
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def stored(spans):
    records = [record(number, *each) for number, each in enumerate(texts(spans))]
    rows = [encode_row(each) for each in records]
    wire = sum(map(len, rows)) / spans
    with tempfile.TemporaryDirectory() as name:
        rate, size = asyncio.run(store(Path(name), records))
        start = time.process_time()
        with (Path(name) / "rows.jsonl").open("wb") as file:
            for each in records:
                file.write(encode_row(each) + b"\n")
        plain = spans / (time.process_time() - start)
    report("telemetry", "spans a CPU second until they can be queried", ours=rate, baseline=plain, unit="spans/s",
           baseline_is="the same rows appended to a file", budget=STORE_BUDGET, spans=spans)  # fmt: skip
    report("telemetry", "disk a span", ours=size, baseline=wire, unit="bytes", baseline_is="the same rows as JSON lines",
           budget=BYTES_BUDGET, spans=spans)  # fmt: skip


def measure(*, spans=SPANS, rounds=ROUNDS):
    """The best of some rounds, by turns: other work on this machine can only make one slower."""
    ours, plain, calls = [], [], texts(spans)
    with tempfile.TemporaryDirectory() as name:
        for number in range(rounds):
            plain.append(appended(Path(name) / f"{number}.jsonl", calls))
            ours.append(spooled(Path(name) / f"spool-{number}", calls))
    for place, what in enumerate(("a span, for who makes it", "a span, until it is safe on disk")):
        best, baseline = (min(each[place] for each in found) * 1e6 for found in (ours, plain))
        report("telemetry", what, ours=best, baseline=baseline, unit="us",
               baseline_is="a JSON line appended to a file, one sync at the end", budget=SPAN_BUDGET_US)  # fmt: skip


def main() -> int:
    measure()
    if importlib.util.find_spec("chdb") is None:
        print("the span store is not installed: pip install 'tidemill[analytics]'", file=sys.stderr)
        return 0
    stored(STORED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
