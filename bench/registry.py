"""Registry writes and reads a second on SQLite, against bare sqlite3 in WAL doing the same statements.

    python -m bench.registry

The statements of the platform's own writes and reads are written down once, values and all, and then carried out by bare
sqlite3 on a database with the same schema, a transaction each. So the baseline has no JSON, no digests and no threads.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path

from sqlalchemy import event

from bench.measure import report
from tidemill.store.database import Database
from tidemill.store.registry import add_version, get_version

WRITES, READS, ROUNDS = 1000, 3000, 3
CALLING = {0: "on a worker thread", 1: "one caller on the event loop", 8: "eight callers on the event loop"}
WRITE_BUDGET, READ_BUDGET = 1000, 5000
ARTIFACTS = 100
PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "cache_size=-8000", "temp_store=MEMORY")


def adding(number):
    """The work of one write: a new version of one of a hundred prompts, of the usual size."""
    text = f"Answer in one sentence from the passages.\n\n{{{{context}}}}\n\nQuestion {number}: {{{{question}}}}\n" * 4
    spec = {"messages": [{"role": "user", "content": text}], "variables": [{"name": "question", "type": "string"}]}
    name = f"prompt-{number % ARTIFACTS}"
    return lambda db: add_version(
        db, project="default", kind="prompt", name=name, parsed_spec=spec, refs={}, blobs={}, now_ns=number
    )


def reading(number):
    """The work of one read: the latest, or the first, version of one of these prompts."""
    ref = f"prompt/prompt-{number % ARTIFACTS}" + ("@v1" if number % 2 else "")
    return lambda db: get_version(db, "default", ref)


def threaded_rate(run, works):
    """Pieces of work a second for one who is on a worker thread already."""
    start = time.perf_counter()
    for each in works:
        run(each)
    return len(works) / (time.perf_counter() - start)


async def rate(run, works, *, callers):
    """Pieces of work a second for so many callers on the event loop."""
    left = iter(works)

    async def call():
        for each in left:
            await run(each)

    start = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    return len(works) / (time.perf_counter() - start)


def statements_of(path, run, works):
    """What a database is asked to do for each work: lists of (statement, values)."""
    database = Database.open(path)
    seen, at = [], [0]

    def note(_connection, _cursor, statement, values, _context, _many):
        seen.append((at[0], statement, values))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        for at[0], work in enumerate(works):
            run(database)(work)
    finally:
        database.close()
    return [[each[1:] for each in group] for _, group in groupby(seen, key=lambda each: each[0])]


def bare_rate(path, transactions, *, begin):
    """Transactions a second by bare sqlite3."""
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    start = time.perf_counter()
    for transaction in transactions:
        connection.execute(begin)
        for statement, values in transaction:
            connection.execute(statement, values).fetchall()
        connection.execute("COMMIT")
    took = time.perf_counter() - start
    connection.close()
    return len(transactions) / took


async def measure(*, writes=WRITES, reads=READS, rounds=ROUNDS):
    """The best of a few rounds, ours and bare by turns: other work on this machine can only make one slower."""
    best = {}

    def keep(what, found):
        best[what] = max(found, best.get(what, 0.0))

    written, asked = [adding(each) for each in range(writes)], [reading(each) for each in range(reads)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recorded = statements_of(folder / "recorded.db", lambda db: db.write_sync, written)
        looked_up = statements_of(folder / "recorded.db", lambda db: db.read_sync, asked)
        for number in range(rounds):
            for callers, who in CALLING.items():
                database = Database.open(folder / f"ours-{number}-{callers}.db")
                for what, works, run, sync in (
                    ("write", written, database.write, database.write_sync), ("read", asked, database.read, database.read_sync)
                ):  # fmt: skip
                    keep((what, who), await rate(run, works, callers=callers) if callers else threaded_rate(sync, works))
                database.close()
            bare = folder / f"bare-{number}.db"
            Database.open(bare).close()
            keep("write", bare_rate(bare, recorded, begin="BEGIN IMMEDIATE"))
            keep("read", bare_rate(bare, looked_up, begin="BEGIN"))
    for what, budget in (("write", WRITE_BUDGET), ("read", READ_BUDGET)):
        for who in CALLING.values():
            report(
                "registry", f"{what}s a second, {who}", ours=best[what, who],
                baseline=best[what], unit=f"{what}s/s", baseline_is="bare sqlite3 in WAL, the same statements",
                budget=budget, transactions=writes if what == "write" else reads,
            )  # fmt: skip


def main() -> int:
    asyncio.run(measure())
    return 0


if __name__ == "__main__":
    sys.exit(main())
