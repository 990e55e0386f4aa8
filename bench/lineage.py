"""Questions to a lineage graph of a million links, on SQLite and, where it is installed, on PostgreSQL.

    python -m bench.lineage

The graph is made as a busy project makes it: 60 indexes of 2,000 documents in five versions each, 9,000 chain versions that
share 20 models, their releases, evaluations, decisions, endpoints, and datasets made of requests. A question is what the API
asks of the store in one read: the walk and how each of its first 200 points stands. Baselines over the same tables: a walk in
Python with a query a point, and one recursive query (`WITH RECURSIVE`) for all that is reached, which has no first page.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

from sqlalchemy import insert, select, text

from bench.measure import quantiles, report
from tidemill.store.database import Database
from tidemill.store.lineage import lineage_edges, lineage_nodes
from tidemill.store.lineage_impact import impact_of
from tidemill.store.lineage_path import shortest
from tidemill.store.lineage_show import show
from tidemill.store.lineage_walk import walk
from tidemill.testing.postgres import has_postgres, new_database, postgres_server

PROJECT, LIMIT, BUDGET_MS = "default", 200, 100
EDGES, ASKED, ASKED_NAIVELY, ASKED_SLOWLY = 1_000_000, 100, 20, 3


class Graph:
    """Points and links with the numbers that they will have."""

    def __init__(self, edges, seed=1):
        self.random = random.Random(seed)
        self.points, self.links, self.by_kind = [], [], {}
        self._make(edges / EDGES)

    def point(self, kind, name, version=None):
        key = name if version is None else f"{name}@sha256:{len(self.points):064x}"
        self.points.append((kind, key, name if version is None else f"{name}@v{version}"))
        self.by_kind.setdefault(kind, []).append(len(self.points))
        return len(self.points)

    def link(self, source, target, relation):
        self.links.append((source, target, relation))

    def _make(self, size):
        chosen = self.random.choice
        models = [self.point("model", f"model-{n}", 1) for n in range(20)]
        tools = [self.point("tool", f"tool-{n}", 1) for n in range(200)]
        prompts = [self.point("prompt", f"prompt-{n}", v) for n in range(500) for v in range(1, max(2, int(20 * size)))]
        indexes = [self._index(n, size) for n in range(60)]
        datasets = [self._dataset(n) for n in range(50)]
        endpoints = [self.point("endpoint", f"endpoint-{n}") for n in range(200)]
        for name in range(300):
            for version in range(1, max(2, int(30 * size)) + 1):
                self._chain(name, version, [models, prompts, prompts, chosen(indexes), tools, tools], datasets, endpoints)
        while len(self.links) < EDGES * size:
            name = len(self.points)
            trace = self.point("trace", f"{name:032x}")
            self.link(chosen(self.by_kind["release"]), trace, "answered")
            self.link(trace, chosen(chosen(datasets)), "sampled")

    def _index(self, name, size):
        documents = []
        for number in range(max(10, int(2000 * size))):
            file = self.point("file", f"docs-{name}/page-{number}.rst")
            documents.append(self.point("document", f"index-{name}#page-{number}.rst"))
            self.link(file, documents[-1], "read_as")
        versions = [self.point("index", f"index-{name}", version) for version in range(1, 6)]
        for each in versions:
            self.links += [(document, each, "indexed") for document in documents]
        return versions

    def _dataset(self, name):
        versions = [self.point("dataset", f"dataset-{name}", version) for version in range(1, 11)]
        for before, after in itertools.pairwise(versions):
            self.link(before, after, "extended")
        return versions

    def _chain(self, name, version, parts, datasets, endpoints):
        chosen, chain = self.random.choice, self.point("chain", f"chain-{name}", version)
        for each in parts:
            self.link(chosen(each), chain, "used_by")
        release = self.point("release", f"chain-{name}", version)
        self.link(chain, release, "locked")
        for _ in range(4):
            evaluation = self.point("evaluation", f"e{len(self.points)}")
            self.link(release, evaluation, "evaluated")
            self.link(chosen(chosen(datasets)), evaluation, "judged_on")
            decision = self.point("decision", str(len(self.points)))
            self.link(evaluation, decision, "decided")
        self.link(release, endpoints[name % len(endpoints)], "deploy")


def fill(database, graph):
    """Put the graph in, a batch at a time, in the order in which it came about."""
    links = list(dict.fromkeys(graph.links))

    def work(db):
        points = enumerate(graph.points, 1)
        times = {"project": PROJECT, "attributes": None}
        nodes = [{"id": n, "kind": k, "key": e, "label": a, "first_ns": n, "last_ns": n, **times} for n, (k, e, a) in points]
        edges = [
            {"id": n, "project": PROJECT, "source": s, "target": t, "relation": r, "at_ns": n}
            for n, (s, t, r) in enumerate(links, 1)
        ]
        for table, rows in ((lineage_nodes, nodes), (lineage_edges, edges)):
            if db.dialect.name == "postgresql":
                copy(db, table, rows)
                continue
            for start in range(0, len(rows), 20_000):
                db.execute(insert(table), rows[start : start + 20_000])

    database.write_sync(work)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.exec_driver_sql("ANALYZE")
    return len(links)


def copy(db, table, rows):
    """Put rows into PostgreSQL by COPY: a row at a time takes minutes."""
    names = [each for each in rows[0] if each != "attributes"]
    with db.connection.dbapi_connection.cursor().copy(f"COPY {table.name} ({', '.join(names)}) FROM STDIN") as into:
        for each in rows:
            into.write_row([each[name] for name in names])


def asking(start, direction):
    """One page of a walk, with how its points stand."""

    def work(db):
        found = walk(db, [start], direction, limit=LIMIT)
        return len(show(db, PROJECT, found.depths, now_ns=1))

    return work


def step_by_step(start, direction):
    """The same page by a query for each point met."""
    near, far = ("source", "target") if direction == "down" else ("target", "source")
    links = select(lineage_edges.c[far]).order_by(lineage_edges.c[far])

    def work(db):
        met, waiting = {start: None}, deque([start])
        while waiting and len(met) <= LIMIT:
            for other in db.execute(links.where(lineage_edges.c[near] == waiting.popleft())).scalars():
                if other not in met:
                    met[other] = None
                    waiting.append(other)
                    if len(met) > LIMIT:
                        break
        for each in met:
            db.execute(select(lineage_nodes).where(lineage_nodes.c.id == each)).first()
        return len(met)

    return work


def recursive(start, direction):
    """Everything that is reached, by one query."""
    near, far = ("source", "target") if direction == "down" else ("target", "source")
    step = f"SELECT {far} FROM lineage_edges JOIN met ON {near} = met.id"
    query = text(f"WITH RECURSIVE met(id) AS (SELECT CAST(:start AS BIGINT) UNION {step}) SELECT count(*) FROM met")
    return lambda db: db.execute(query, {"start": start}).scalar()


def path_step_by_step(source, target):
    """The shortest line by a query for each point, from one end."""
    links = select(lineage_edges.c.target)

    def work(db):
        met, waiting = {source}, deque([source])
        while waiting:
            for other in db.execute(links.where(lineage_edges.c.source == waiting.popleft())).scalars():
                if other == target:
                    return True
                if other not in met:
                    met.add(other)
                    waiting.append(other)
        return False

    return work


def times(database, works):
    """Seconds of each, after one that is not counted."""
    database.read_sync(works[0])
    took = []
    for each in works:
        start = time.perf_counter()
        database.read_sync(each)
        took.append(time.perf_counter() - start)
    return took


def questions(graph):
    """By name: what is asked, and the baselines."""
    rnd = random.Random(7)

    def some(*kinds, count=ASKED):
        return [rnd.choice(graph.by_kind[rnd.choice(kinds)]) for _ in range(count)]

    up = some("endpoint", "release", "evaluation", "decision", "trace")
    down = some("document", "file", "prompt", "tool", "model")
    pairs = list(zip(some("document", "prompt", "tool"), some("endpoint", "evaluation", "release"), strict=True))
    fed = some("document", "prompt", "model")
    return {
        "upstream, first 200": (
            [asking(e, "up") for e in up], [step_by_step(e, "up") for e in up], [recursive(e, "up") for e in up],
        ),
        "downstream, first 200": (
            [asking(e, "down") for e in down], [step_by_step(e, "down") for e in down], [recursive(e, "down") for e in down],
        ),
        "shortest path": (
            [lambda db, a=a, b=b: shortest(db, [a], [b]) for a, b in pairs], [path_step_by_step(a, b) for a, b in pairs], None,
        ),
        "impact, up to 20,000 points": (
            [lambda db, e=e: impact_of(db, PROJECT, starts=[e], own=[e], limit=20, now_ns=1) for e in fed], None,
            [recursive(e, "down") for e in fed],
        ),
    }  # fmt: skip


def measure(database, name, *, edges=EDGES):
    graph = Graph(edges)
    count = fill(database, graph)
    for what, (ours, naive, cte) in questions(graph).items():
        half, most = quantiles(times(database, ours))
        slow = quantiles(times(database, naive[:ASKED_NAIVELY])) if naive else None
        whole = quantiles(times(database, cte[:ASKED_SLOWLY])) if cte else None
        baseline, is_what = (slow, "a query a point") if slow else (whole, "WITH RECURSIVE")
        more = {"recursive_p50_ms": round(whole[0], 1), "recursive_p95_ms": round(whole[1], 1)} if whole and slow else {}
        for quantile, mine, theirs in (("p50", half, baseline[0]), ("p95", most, baseline[1])):
            report(
                "lineage", f"{what}, {quantile}, {name}", ours=mine, baseline=theirs, unit="ms", baseline_is=is_what,
                budget=BUDGET_MS, edges=count, points=len(graph.points), **more,
            )  # fmt: skip


def main() -> int:
    edges = int(sys.argv[1]) if len(sys.argv) > 1 else EDGES
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Database.open(Path(folder) / "meta.db")) as database:
        measure(database, "SQLite", edges=edges)
    if has_postgres():
        with postgres_server() as server, new_database(server) as url, contextlib.closing(Database.open(url)) as database:
            measure(database, "PostgreSQL", edges=edges)
    return 0


if __name__ == "__main__":
    sys.exit(main())
