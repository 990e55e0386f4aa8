"""Indexes: time to build and load, and how quick and right their searches are, against exact search of the same.

    python -m bench.retrieval [CHUNKS …]

Documents go the whole way: applied, cut, embedded, kept, loaded, searched. Only the vectors are made up beforehand, since to
embed 100,000 chunks takes an hour here; the time to embed a question is not counted either. The baselines are a matrix product
by NumPy over every vector, bm25s by itself, and both fused. Every engine has one thread.
"""

from __future__ import annotations

import asyncio
import sys
import time

from bench.measure import one_thread, quantiles, report

one_thread()

import bm25s  # noqa: E402  (after the engines were given their one thread)
import numpy as np  # noqa: E402

from bench import synthetic  # noqa: E402
from bench.parts import HERE, open_parts  # noqa: E402
from tidemill.core.chat import EmbedResponse, Vectors  # noqa: E402
from tidemill.core.clock import SystemClock  # noqa: E402
from tidemill.data import build as building  # noqa: E402
from tidemill.data.index import Indexes  # noqa: E402
from tidemill.store.index_builds import get_build  # noqa: E402

SIZES = (10_000, 100_000)
K, DEPTH, RRF = 10, 100, 60
QUESTIONS, WARM_UP = 200, 10
LATENCY_BUDGET_MS, RECALL_BUDGET = 10, 0.99
SECTIONS, WORDS = 50, 80
PARTS = """
{kind: embedder, name: made-up, provider: test}
---
{kind: index, name: bench, source: docs, embed: embedder/made-up}
"""
EXACT = {
    "vector": "NumPy, exact",
    "fulltext": "bm25s by itself",
    "hybrid": "NumPy, exact, and bm25s, fused",
}


class MadeUp:
    """Stands where the models stand: a chunk's vector is the next of these, a question's its own."""

    def __init__(self, vectors, questions):
        self.vectors = iter(vectors)
        self.questions = questions

    async def embed(self, _embedder, texts, **_options):
        rows = [self.questions[each] if each in self.questions else next(self.vectors) for each in texts]
        return EmbedResponse(vectors=Vectors(dimensions=synthetic.DIMENSIONS, data=b"".join(each.tobytes() for each in rows)))

    async def close(self):
        pass


def documents(chunks, words):
    """Markdown files with one chunk a section."""
    for number in range(-(-chunks // SECTIONS)):
        count = min(SECTIONS, chunks - number * SECTIONS)
        sections = [f"## {' '.join(words.draw(3))}\n\n{words.text(WORDS)}\n" for _ in range(count)]
        yield f"docs/{number:05}.md", "\n".join([f"# {' '.join(words.draw(3))}\n", *sections]).encode()


class Exact:
    """The baselines, over the same texts and vectors."""

    def __init__(self, texts, vectors):
        self.vectors = vectors
        self.places = np.arange(len(texts))
        start = time.perf_counter()
        self.words = bm25s.BM25(method="lucene", k1=1.2, b=0.75, backend="numpy")
        self.words.index(bm25s.tokenize(texts, stopwords=None, show_progress=False), show_progress=False)
        self.took = time.perf_counter() - start

    def vector(self, _text, vector, *, k=K):
        scores = self.vectors @ vector
        best = np.argpartition(-scores, k)[:k]
        return best[np.argsort(-scores[best], kind="stable")]

    def fulltext(self, text, _vector, *, k=K):
        tokens = bm25s.tokenize([text], stopwords=None, return_ids=False, show_progress=False)
        found, scores = self.words.retrieve(tokens, k=k, n_threads=0, show_progress=False)
        return found[0][scores[0] > 0]

    def hybrid(self, text, vector):
        scores = fused(self.vector(text, vector, k=DEPTH).tolist(), self.fulltext(text, vector, k=DEPTH).tolist())
        return sorted(scores, key=lambda each: -scores[each])[:K]

    def worth(self, mode, text, vector):
        """What each chunk is worth: tells right answers, also among equals. Not timed, so that it can order equals by place."""
        near = self.vectors @ vector
        tokens = bm25s.tokenize([text], stopwords=None, return_ids=False, show_progress=False)
        said = self.words.get_scores(tokens[0])
        if mode != "hybrid":
            return near if mode == "vector" else said
        worth = np.zeros(len(near))
        for place, score in fused(self.ordered(near), self.ordered(said)).items():
            worth[place] = score
        return worth

    def ordered(self, scores):
        places = self.places[scores > 0]
        return places[np.lexsort((places, -np.round(scores[places], 6)))[:DEPTH]].tolist()


def fused(*rankings):
    """Reciprocal rank fusion."""
    scores = {}
    for ranking in rankings:
        for rank, place in enumerate(ranking, 1):
            scores[place] = scores.get(place, 0.0) + 1 / (RRF + rank)
    return scores


def recall(found, worth):
    """How many of the best ten were found; any that is worth as much as the tenth, to five digits, counts."""
    tenth = np.partition(worth, len(worth) - K)[len(worth) - K]
    return sum(1 for each in found if worth[each] >= tenth * (1 - 1e-5)) / K


async def search(indexes, version, embedder, exact, asked, places, *, mode):
    """Seconds, on the clock and of CPU, of each search by us and by the baseline, by turns; the share of the best ten found."""
    ours, theirs, right = [], [], []
    plain = getattr(exact, mode)
    for number, (text, vector) in enumerate(asked.items()):
        start = now()
        hits = await indexes.search(version, embedder=embedder, query=text, k=K, mode=mode, **HERE)
        middle = now()
        plain(text, vector)
        end = now()
        if number >= WARM_UP:
            ours.append(middle - start)
            theirs.append(end - middle)
            right.append(recall([places[each.chunk.id] for each in hits], exact.worth(mode, text, vector)))
    return np.array(ours).T, np.array(theirs).T, sum(right) / len(right)


def now():
    return np.array([time.perf_counter(), time.process_time()])


async def built(parts, index, embedder):
    """Build; how long it took, and the chunks that came of it."""
    start = time.perf_counter()
    await parts.indexes.build(index, embedder=embedder, **HERE)
    took = time.perf_counter() - start
    build = parts.database.read_sync(lambda db: get_build(db, HERE["project"], index.digest))
    return took, building.load_chunks(parts.blobs.get(build.blobs["chunks"]))


async def measure(chunks, *, count=QUESTIONS):
    words = synthetic.Words()
    vectors = synthetic.clustered(chunks, run=SECTIONS)
    near = synthetic.questions(vectors, min(count + WARM_UP, chunks))
    asked = {" ".join([*dict.fromkeys(words.draw(6)), str(number)]): each for number, each in enumerate(near)}
    async with open_parts(models=MadeUp(vectors, asked)) as parts:
        versions = parts.apply(PARTS, files=documents(chunks, words))
        index, embedder = versions["index/bench"], versions["embedder/made-up"]
        took, made = await built(parts, index, embedder)
        assert len(made) == chunks, f"{len(made)} chunks came of {chunks} sections"
        exact = Exact([each.embedded_text for each in made], vectors)
        size = f"{chunks // 1000} k chunks" if chunks >= 1000 else f"{chunks} chunks"
        report("retrieval", f"build, {size}", ours=took, baseline=exact.took, unit="s",
               baseline_is="bm25s alone over the same texts")  # fmt: skip
        indexes = Indexes(database=parts.database, blobs=lambda _: parts.blobs, models=parts.models, clock=SystemClock())
        start = time.perf_counter()
        await indexes.search(index, embedder=embedder, query=next(iter(asked)), **HERE)
        opened = time.perf_counter() - start
        report("retrieval", f"first search after a start, {size}", ours=opened, baseline=read_seconds(parts.folder, vectors),
               unit="s", baseline_is="np.load of the vectors")  # fmt: skip
        places = {each.id: place for place, each in enumerate(made)}
        for mode, against in EXACT.items():
            ours, theirs, right = await search(indexes, index, embedder, exact, asked, places, mode=mode)
            limit = {"budget": LATENCY_BUDGET_MS} if mode == "hybrid" and chunks == SIZES[-1] else {}
            clock, cpu = ([quantiles(each.tolist()) for each in pair] for pair in zip(ours, theirs, strict=True))
            for place, name in enumerate(("p50", "p95")):
                report("retrieval", f"{mode} {name}, {size}", ours=clock[0][place], baseline=clock[1][place], unit="ms",
                       baseline_is=against, questions=len(ours[0]), ours_cpu_ms=round(cpu[0][place], 3),
                       baseline_cpu_ms=round(cpu[1][place], 3), **({} if place else limit))  # fmt: skip
            limit = {"budget": RECALL_BUDGET} if mode != "fulltext" else {}
            report("retrieval", f"{mode} recall@{K}, {size}", ours=right, baseline=1, unit="recall", baseline_is=against,
                   questions=len(ours[0]), **limit)  # fmt: skip


def read_seconds(folder, vectors):
    path = folder / "vectors.npy"
    np.save(path, vectors)
    start = time.perf_counter()
    np.load(path)
    return time.perf_counter() - start


def main() -> int:
    for chunks in [int(each) for each in sys.argv[1:]] or SIZES:
        asyncio.run(measure(chunks))
    return 0


if __name__ == "__main__":
    sys.exit(main())
