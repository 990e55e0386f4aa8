"""Spans from OpenTelemetry's wire format to where they can be queried, and questions over many of them.

    python -m bench.spans [--spans 50000,100000] [--ingest 20000] [--baseline 20000]

`--spans` are the sizes at which questions are asked: the store is filled once, from size to size, with spans like those of
applications (traces of ten, spread over a month). `--ingest` is how many are sent as OTLP protobuf, `--baseline` how many the
baselines take. Phoenix and MLflow are measured where TIDEMILL_BENCH_PHOENIX or TIDEMILL_BENCH_MLFLOW name an interpreter that
has them (each takes the same bodies through its own OTLP door); else a line says why not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import family_cpu, family_memory, quantiles, report
from bench.synthetic import Words
from bench.telemetry import folder_bytes, live_parts
from tidemill.core.clock import SystemClock
from tidemill.telemetry.engine import native
from tidemill.telemetry.intake import Intake
from tidemill.telemetry.numbers.question import read_question
from tidemill.telemetry.row import span_columns
from tidemill.telemetry.store import Telemetry

NAME = "spans"
SPANS_A_SECOND, BYTES_A_SPAN, BATCH, TRACE = 20_000, 500, 512, 10
ROUNDS, MODELS, USERS, MONTH_NS = 20, 6, 2000, 28 * 86_400 * 10**9
LONGEST = 6  # seconds that one question is repeated
RESTED, MOST_REST = 3, 120  # seconds without a merge, and seconds that are waited for it at most
START_NS = (time.time_ns() // (86_400 * 10**9) - 1) * 86_400 * 10**9  # yesterday, as what is looked at usually is
POOL = 4000
POOLED, COPIES = 20_000, 3  # rows that are copied, and copies at once
OTHERS_TAKE = 2048  # spans: some take tens a second
LONG_TRACE = "f" * 32
KINDS = ("chain", "llm", "retriever", "tool", "llm", "embedding", "llm", "guardrail", "llm", "chain")
OTHERS = {
    "phoenix": ("TIDEMILL_BENCH_PHOENIX", "arize-phoenix"),
    "mlflow": ("TIDEMILL_BENCH_MLFLOW", "mlflow"),
}


def texts():
    """Questions and answers; some words are rare, as names are."""
    words = Words()
    return [(words.text(60), words.text(24) + f" case{number}") for number in range(POOL)]


def bodies(count, pool):
    """OTLP requests in protobuf, of so many spans in all, each about 1.1 KB."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    for first in range(0, count, BATCH):
        request = ExportTraceServiceRequest()
        of_resource = request.resource_spans.add()
        text(of_resource.resource.attributes, "service.name", "shop")
        of_scope = of_resource.scope_spans.add()
        of_scope.scope.name = "opentelemetry.instrumentation.openai"
        for number in range(first, min(first + BATCH, count)):
            fill(of_scope.spans.add(), number, pool)
        yield request.SerializeToString()


def fill(span, number, pool):
    question, answer = pool[number % POOL]
    root, start = number // TRACE * TRACE, START_NS + number * 50_000_000
    span.trace_id, span.span_id = (number // TRACE + 1).to_bytes(16), (number + 1).to_bytes(8)
    if number != root:
        span.parent_span_id = (root + 1).to_bytes(8)
    span.name, span.kind = "chat gpt-4o-mini", 3
    span.start_time_unix_nano, span.end_time_unix_nano = start, start + 2_000_000 + number % 977 * 1000
    for key, value in {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini", "user.id": f"user-{number // TRACE % USERS}",
        "session.id": f"session-{number // TRACE % 5000}",
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": question}]}]),
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": answer}]}]),
    }.items():  # fmt: skip
        text(span.attributes, key, value)
    for key, value in {"gen_ai.usage.input_tokens": 120, "gen_ai.usage.output_tokens": 24}.items():
        each = span.attributes.add()
        each.key, each.value.int_value = key, value
    span.status.code = 2 if number % 50 == 0 else 1


def text(attributes, key, value):
    each = attributes.add()
    each.key, each.value.string_value = key, value


async def ingest(folder, sent, count):
    """Seconds and CPU seconds until all of it can be queried, of this process and the store's; bytes on disk; memory."""
    async with Telemetry(folder) as telemetry:
        intake = Intake(telemetry, clock=SystemClock())
        await intake.traces("default", next(bodies(1, texts())), form="protobuf")
        await telemetry.flush(timeout=60)
        cpu, start = family_cpu(os.getpid()), time.perf_counter()
        for body in sent:
            await intake.traces("default", body, form="protobuf")
        await telemetry.flush(timeout=600)
        took, used = time.perf_counter() - start, family_cpu(os.getpid()) - cpu
        stored = (await telemetry.stored()).spans
        assert stored >= count, f"{stored} of {count} spans"
        memory = family_memory(os.getpid())
    return took, used, sum(map(folder_bytes, live_parts(folder / "spans"))) / count, memory


def sqlite_ingest(path, sent):
    """The same bodies, decoded and put into SQLite with a full-text index, a transaction a request."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    db = sqlite3.connect(path)
    db.executescript(
        "PRAGMA journal_mode=WAL; CREATE TABLE spans (id INTEGER PRIMARY KEY, trace TEXT, span TEXT, parent TEXT, name TEXT,"
        " start INTEGER, duration INTEGER, status INTEGER, model TEXT, user TEXT, cost REAL, attributes TEXT,"
        " UNIQUE (trace, span));"
        " CREATE INDEX by_start ON spans (start); CREATE VIRTUAL TABLE words USING fts5(text, content='')"
    )
    cpu, start = time.process_time(), time.perf_counter()
    for body in sent:
        with db:
            for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for of_scope in of_resource.scope_spans:
                    for span in of_scope.spans:
                        sqlite_put(db, span)
    took, used = time.perf_counter() - start, time.process_time() - cpu
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    start = time.perf_counter()
    found = db.execute("SELECT rowid FROM words WHERE words MATCH 'case77' ORDER BY rowid DESC LIMIT 50").fetchall()
    print(json.dumps({"benchmark": NAME, "baseline": "SQLite with FTS5", "text_search_ms": (time.perf_counter() - start) * 1000,
                      "text_search_hits": len(found)}))  # fmt: skip
    db.close()
    return took, used, path.stat().st_size


def sqlite_put(db, span):
    values = {each.key: each.value.string_value or each.value.int_value for each in span.attributes}
    row = db.execute(
        "INSERT OR IGNORE INTO spans (trace, span, parent, name, start, duration, status, model, user, cost, attributes)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.name, span.start_time_unix_nano,
         span.end_time_unix_nano - span.start_time_unix_nano, span.status.code, values.get("gen_ai.request.model"),
         values.get("user.id"), 0.0002, json.dumps(values)),
    )  # fmt: skip
    words = f"{values.get('gen_ai.input.messages')} {values.get('gen_ai.output.messages')}"
    db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (row.lastrowid, words))


def measure_ingest(count, baseline):
    pool = texts()
    sent, wire = list(bodies(count, pool)), None
    wire = sum(map(len, sent)) / count
    with tempfile.TemporaryDirectory() as name:
        took, used, size, memory = asyncio.run(ingest(Path(name), sent, count))
        fewer = list(bodies(baseline, pool))
        base_took, base_used, base_bytes = sqlite_ingest(Path(name) / "spans.db", fewer)
    said = {"baseline_is": "SQLite with FTS5, a transaction a request", "spans": count, "baseline_spans": baseline}
    wire_said = {"wire_bytes": round(wire)}
    report(NAME, "spans a second, OTLP protobuf to queryable", ours=count / took, baseline=baseline / base_took, unit="spans/s",
           **said, **wire_said)  # fmt: skip
    report(NAME, "spans a CPU second, OTLP protobuf to queryable", ours=count / used, baseline=baseline / base_used,
           unit="spans/s", budget=SPANS_A_SECOND, **said)  # fmt: skip
    report(
        NAME, "disk a span", ours=size, baseline=base_bytes / baseline, unit="bytes", budget=BYTES_A_SPAN, **said, **wire_said
    )
    report(
        NAME, "memory after ingest, all processes", ours=memory / 2**20, baseline=0, unit="MiB", baseline_is="none", spans=count
    )
    for other in OTHERS:
        measure_other(other, list(bodies(min(baseline, OTHERS_TAKE), pool)))


def prepared(first, count, pool):
    """A block of rows, made without records: what fills millions in minutes."""
    columns, rows = span_columns(), []
    plain = {native.TEXT: "", native.TEXTS: (), native.PAIRS: {}, native.PERHAPS: None}
    default = [plain.get(kind, 0) for _, kind in columns]
    place = {name: number for number, (name, _) in enumerate(columns)}
    for number in range(first, first + count):
        question, answer = pool[number * 7919 % POOL]
        trace, within = divmod(number, TRACE)
        kind = KINDS[within]
        start = START_NS - trace * 15_485_863_000_003 % MONTH_NS + within * 1_000_000
        row = default.copy()
        for name, value in {
            "project": "default", "trace_id": f"{trace + 1:032x}", "span_id": f"{number + 1:016x}", "root": int(within == 0),
            "parent_id": f"{trace * TRACE + 1:016x}" if within else "", "name": f"{kind} {within}", "kind": kind,
            "start": start, "received": start, "duration_ns": (5 + number * 104_729 % 900) * 1_000_000, "weight": 1.0,
            "input": json.dumps(question),
            "status": "error" if number % 50 == 0 else "ok", "output": json.dumps(answer), "endpoint": f"e{trace % 3}",
            "user": f"user-{trace % USERS}", "session": f"session-{trace % 5000}", "release": f"sha256:{trace % 5}",
            "attributes": {"gen_ai.operation.name": '"chat"'}, "dialect": "gen_ai", "service": "shop",
        }.items():  # fmt: skip
            row[place[name]] = value
        if kind == "llm":
            row[place["model"]], row[place["provider"]] = f"model-{number % MODELS}", "openai"
            row[place["input_tokens"]], row[place["output_tokens"]], row[place["cost"]] = 120, 24, 0.0002
        rows.append(row)
    return native.encode_block(columns, rows)


POOL_TABLE = (
    "CREATE TABLE pooled ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM spans"
    " WHERE project = 'default' AND trace_id != {long:String}"
)
COPIED = {
    "trace_id": "leftPad(lower(hex(trace + 1)), 32, '0')",
    "span_id": "leftPad(lower(hex(n + 1)), 16, '0')",
    "parent_id": f"if(root, '', leftPad(lower(hex(trace * {TRACE} + 1)), 16, '0'))",
    "start": "fromUnixTimestamp64Nano(toInt64(at), 'UTC')",
    "received": "fromUnixTimestamp64Nano(toInt64(at), 'UTC')",
    "output": "replaceOne(output, ' case', concat(' case', toString(copy), 'x'))",
    "user": f"concat('user-', toString(trace % {USERS}))",
    "session": "concat('session-', toString(trace % 5000))",
    "model": f"if(model = '', '', concat('model-', toString(n % {MODELS})))",
}
"""What differs in a copy of the first rows: who, when, which model, and a word that no other copy has."""


async def grow(telemetry, first, last, pool):
    """Rows straight into the store: the first as the projector puts them there, the others copied from those by the engine."""
    if first == 0:
        await telemetry.engine.insert(prepared(0, POOLED, pool), is_block=True)
        await telemetry.engine.execute(POOL_TABLE, {"long": LONG_TRACE})
        first = POOLED
    names = [name for name, _ in span_columns()]
    number = "copy * {pooled:UInt64} + reinterpretAsUInt64(reverse(unhex(span_id))) - 1 AS n"
    sql = (
        f"INSERT INTO spans ({', '.join(names)}) SELECT {', '.join(COPIED.get(name, name) for name in names)} FROM"
        f" (SELECT pooled.*, copy, {number}, intDiv(n, {TRACE}) AS trace,"
        f" {START_NS} - trace * 15485863000003 % {MONTH_NS} + n % {TRACE} * 1000000 AS at"
        " FROM pooled CROSS JOIN (SELECT number AS copy FROM numbers({copy:UInt64}, {count:UInt64})) AS copies)"
    )
    copies = range(first // POOLED, last // POOLED)
    for copy in copies[::COPIES]:
        count = min(COPIES, copies.stop - copy)
        await telemetry.engine.execute(sql, {"pooled": POOLED, "copy": copy, "count": count})


async def long_trace(telemetry):
    columns = span_columns()
    place = {name: number for number, (name, _) in enumerate(columns)}
    block = native.decode_blocks(prepared(0, 2000, [("q", "a")] * POOL))
    rows = [list(each.values()) for each in block]
    for number, row in enumerate(rows):
        row[place["trace_id"]], row[place["root"]] = LONG_TRACE, int(number == 0)
        row[place["start"]] = START_NS - MONTH_NS // 2 + number * 1000
        row[place["parent_id"]] = f"{max(1, number // 3):016x}" if number else ""
    await telemetry.engine.insert(native.encode_block(columns, rows), is_block=True)


def questions(telemetry):
    day = {"from_ns": START_NS - 3 * 86_400 * 10**9, "to_ns": START_NS - 2 * 86_400 * 10**9}
    hours = {"from_ns": START_NS - MONTH_NS, "to_ns": START_NS + 86_400 * 10**9}
    return {
        "latest 50": lambda: telemetry.list_traces("default", limit=50),
        "filter and a day": lambda: telemetry.list_traces("default", filter='status = "error" and latency > 100ms', **day),
        "text search, rare word": lambda: telemetry.search_spans("default", "case77", limit=50),
        "text search, common word": lambda: telemetry.search_spans("default", "ba", limit=50),
        "text search, absent word": lambda: telemetry.search_spans("default", "nowhere77", limit=50),
        "a trace of 2,000 spans": lambda: telemetry.get_trace("default", LONG_TRACE),
        "p95 by model by hour": lambda: numbers(telemetry, ["latency.p95"], by=["model"], interval="hour", **hours),
        "cost by user": lambda: numbers(telemetry, ["cost"], by=["user"], **hours),
    }


async def at_rest(telemetry):
    """Seconds until the engine has merged what was put in at once; what is asked meanwhile shares a core with that."""
    start, idle = time.perf_counter(), 0
    while idle < RESTED and time.perf_counter() - start < MOST_REST:
        merging = (await telemetry.engine.query("SELECT count() FROM system.merges", {}))[0][0]
        idle = 0 if merging else idle + 1
        await asyncio.sleep(1)
    return round(time.perf_counter() - start, 1)


async def numbers(telemetry, measures, **options):
    asked = read_question("default", measures=measures, now_ns=time.time_ns(), limit=1000, **options)
    return await telemetry.ask_numbers(asked)


PLAIN_TEXT = (
    "SELECT span_id FROM spans WHERE positionCaseInsensitive(output, '{0}') > 0 OR positionCaseInsensitive(input, '{0}') > 0"
    " ORDER BY start DESC LIMIT 50"
)
DAYS_AGO = START_NS - 3 * 86_400 * 10**9, START_NS - 2 * 86_400 * 10**9
PLAIN = {
    "latest 50": "SELECT trace_id, start FROM spans WHERE root ORDER BY start DESC LIMIT 50",
    "filter and a day": "SELECT trace_id, start FROM spans WHERE root AND status = 'error' AND duration_ns > 100000000"
    f" AND toUnixTimestamp64Nano(start) BETWEEN {DAYS_AGO[0]} AND {DAYS_AGO[1]} ORDER BY start DESC LIMIT 50",
    "text search, rare word": PLAIN_TEXT.format("case77"),
    "text search, absent word": PLAIN_TEXT.format("nowhere77"),
    "a trace of 2,000 spans": f"SELECT * FROM spans WHERE concat(trace_id, '') = '{LONG_TRACE}'",
    "p95 by model by hour": "SELECT model, toStartOfHour(start) AS at, quantile(0.95)(duration_ns) FROM spans GROUP BY 1, 2",
    "cost by user": "SELECT user, sum(cost) FROM spans GROUP BY user",
}
"""The same without roll-ups, index or windows: whole columns read."""


async def timed(ask, rounds=ROUNDS):
    """p50 and p95 in milliseconds, and CPU milliseconds a time, of all processes; fewer rounds of what takes long."""
    seconds = []
    await ask()
    cpu, end = family_cpu(os.getpid()), time.perf_counter() + LONGEST
    while len(seconds) < 2 or (len(seconds) < rounds and time.perf_counter() < end):
        start = time.perf_counter()
        await ask()
        seconds.append(time.perf_counter() - start)
    return *quantiles(seconds), (family_cpu(os.getpid()) - cpu) / len(seconds) * 1000


async def ask_all(telemetry, size, *, when):
    for what, ask in questions(telemetry).items():
        try:
            p50, p95, cpu = await timed(ask)
        except Exception as error:  # noqa: BLE001  (one question that fails must not cost the others' figures)
            print(json.dumps({"benchmark": NAME, "what": what, "spans": size, "failed": str(error)[:200]}), flush=True)
            continue
        sql = PLAIN.get(what)
        base = (await timed(lambda sql=sql: telemetry.engine.query(sql, {}), rounds=3))[0] if sql and when == "idle" else 0.0
        report(NAME, f"{what}, {short(size)} spans, {when}", ours=p50, baseline=base, unit="ms",
               baseline_is="plain SQL over spans, p50", p95=round(p95, 2), cpu_ms=round(cpu, 1), spans=size)  # fmt: skip


def short(size):
    """A number of spans as it is said: 50 k, 10 M."""
    return f"{size / 1e6:g} M" if size >= 1e6 else f"{size / 1000:g} k"


async def measure_questions(sizes):
    pool = texts()
    with tempfile.TemporaryDirectory() as name:
        async with Telemetry(Path(name), idle_seconds=3600) as telemetry:
            await long_trace(telemetry)
            there = 0
            for size in sizes:
                start = time.perf_counter()
                await grow(telemetry, there, size, pool)
                print(
                    json.dumps({"benchmark": NAME, "filled": size, "seconds": round(time.perf_counter() - start, 1)}),
                    flush=True,
                )
                there, start = size, time.perf_counter()
                await telemetry.rollups.settle("default", grace=0)
                settled = round(time.perf_counter() - start, 1)
                print(json.dumps({"benchmark": NAME, "rolled_up": size, "seconds": settled}), flush=True)
                print(json.dumps({"benchmark": NAME, "merged": size, "seconds": await at_rest(telemetry)}), flush=True)
                await ask_all(telemetry, size, when="idle")
                sending = asyncio.create_task(send_on(telemetry, pool))
                await ask_all(telemetry, size, when="while ingesting")
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            stored = await telemetry.stored()
            report(NAME, "disk a span of a filled store", ours=stored.bytes / stored.spans, baseline=0, unit="bytes",
                   baseline_is="none", spans=stored.spans, parts=stored.parts)  # fmt: skip
            report(NAME, "memory, all processes", ours=family_memory(os.getpid()) / 2**20, baseline=0, unit="MiB",
                   baseline_is="none", spans=stored.spans)  # fmt: skip


async def send_on(telemetry, pool):
    """About 2,000 spans a second through the whole way, until cancelled."""
    intake, sent = Intake(telemetry, clock=SystemClock()), list(bodies(BATCH * 8, pool))
    while True:
        for body in sent:
            await intake.traces("other", body, form="protobuf")
            await asyncio.sleep(BATCH / 2000)


def measure_other(name, sent):
    """Another platform's ingest over its own OTLP door, in the interpreter that has it."""
    variable, package = OTHERS[name]
    interpreter = os.environ.get(variable)
    if not interpreter:
        print(json.dumps({"benchmark": NAME, "baseline": name, "skipped": f"{variable} names no interpreter with {package}"}))
        return
    script = Path(__file__).with_name(f"spans_{name}.py")
    with tempfile.TemporaryDirectory() as folder:
        for number, body in enumerate(sent):
            (Path(folder) / f"{number:06}.pb").write_bytes(body)
        done = subprocess.run([interpreter, str(script), folder], capture_output=True, text=True, check=False, timeout=1800)
    last = done.stdout.splitlines()[-1:] or [json.dumps({"failed": done.stderr[-300:]})]
    print(json.dumps({"benchmark": NAME, "baseline": name, **json.loads(last[0])}), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spans", default="50000", help="sizes at which questions are asked, as in 100000,1000000")
    parser.add_argument("--ingest", type=int, default=20_000, help="spans sent as OTLP; 0 leaves it out")
    parser.add_argument("--baseline", type=int, default=10_000, help="spans that the baselines take")
    options = parser.parse_args()
    if options.ingest:
        measure_ingest(options.ingest, options.baseline)
    if options.spans:
        asyncio.run(measure_questions(sorted(int(each) for each in options.spans.split(","))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
