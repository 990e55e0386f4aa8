import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.errors import Invalid
from tidemill.core.records import Chunk
from tidemill.data.filters import Fields
from tidemill.data.fuse import fuse
from tidemill.data.providers.bm25 import Bm25
from tidemill.data.providers.hnsw import Hnsw
from tidemill.data.rank import best
from tidemill.data.search import LoadedIndex
from tidemill.data.vectors import ExactVectors, ManyVectors, pack_rows
from tidemill.data.words import stem, words

RANKINGS = st.lists(st.permutations(range(8)).flatmap(lambda order: st.integers(0, 8).map(lambda n: order[:n])), max_size=4)


def chunk(number: int, text: str = "text", **metadata) -> Chunk:
    return Chunk(id=f"d{number}#1", document=f"d{number}", start=0, end=len(text), text=text, metadata=metadata)


def index(chunks, vectors=None) -> LoadedIndex:
    text = Bm25.build([each.embedded_text for each in chunks])
    held = None if vectors is None else ExactVectors(np.array(vectors, np.float32))
    return LoadedIndex(chunks=chunks, fields=Fields(chunks), text=text, vectors=held)


def test_reciprocal_rank_fusion_gives_the_papers_sums():
    assert fuse([[1, 2], [2, 3]]) == [(2, 1 / 62 + 1 / 61), (1, 1 / 61), (3, 1 / 62)]
    assert fuse([[5], [4]]) == [(4, 1 / 61), (5, 1 / 61)]
    assert fuse([[1], [2]], k=0)[0] == (1, 1.0)


@given(RANKINGS)
def test_fusion_holds_every_item_once_and_does_not_depend_on_the_order_of_rankings(rankings):
    fused = fuse(rankings)
    assert {item for item, _ in fused} == {item for each in rankings for item in each}
    assert len({item for item, _ in fused}) == len(fused)
    assert [item for item, _ in fuse(list(reversed(rankings)))] == [item for item, _ in fused]
    assert [score for _, score in fused] == sorted((score for _, score in fused), reverse=True)


@given(RANKINGS.filter(bool))
def test_one_ranking_alone_keeps_its_order(rankings):
    assert [item for item, _ in fuse(rankings[:1])] == rankings[0]


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, -1.0]), max_size=30), st.integers(1, 40))
def test_the_best_are_those_of_a_full_sort(scores, k):
    expected = sorted(enumerate(scores), key=lambda each: (-each[1], each[0]))[:k]
    assert best(np.array(scores, np.float32), np.arange(len(scores)), k=k) == expected


def test_words_keep_what_programmers_look_for():
    assert list(words("The with-statement's __init__ calls foo_bar, classes and queries")) == [
        "the", "with", "statement", "s", "init", "call", "foo_bar", "foo", "bar", "class", "and", "query"
    ]  # fmt: skip
    assert [stem(each) for each in ("series", "class", "bus", "does", "indexes", "gas", "tries")] == [
        "sery", "class", "bus", "doe", "index", "gas", "try"
    ]  # fmt: skip


def test_words_of_other_languages():
    assert list(words("Café Straße")) == ["cafe", "strasse"]
    assert list(words("東京都に")) == ["東京", "京都", "都に"]
    assert list(words("ΣΊΣΥΦΟΣ")) == list(words("σίσυφος"))


def test_bm25_gives_the_known_scores():
    """Lucene's BM25 by hand: idf = ln(1 + (N - n + 0.5) / (n + 0.5)), tf / (tf + k1 (1 - b + b dl / avgdl))."""
    scores = Bm25.build(["cat dog", "cat cat cat bird", "fish"]).scores("cat")
    idf = np.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    average = 7 / 3
    expected = [idf * tf / (tf + 1.2 * (0.25 + 0.75 * length / average)) for tf, length in ((1, 2), (3, 4), (0, 1))]
    assert scores == pytest.approx(expected, rel=1e-5)


def test_bm25_comes_back_from_its_bytes_and_knows_no_word_it_never_saw():
    made = Bm25.build(["alpha beta", "beta gamma \u2028 delta", ""])
    again = Bm25.load(made.dump())
    assert again.scores("beta delta").tolist() == made.scores("beta delta").tolist()
    assert again.scores("omega") is None
    empty = Bm25.load(Bm25.build(["", "…"]).dump())
    assert empty.scores("anything") is None


def test_a_search_by_words_leaves_out_what_does_not_match_and_breaks_ties_in_order():
    found = index([chunk(3, "cat"), chunk(1, "dog"), chunk(2, "cat")]).search(
        "cat", vector=None, by_text=True, k=5, filter=None
    )
    assert [(each.chunk.document, each.rank) for each in found] == [("d3", 1), ("d2", 2)]


def test_hybrid_prefers_what_both_find():
    chunks = [chunk(0, "apple"), chunk(1, "pear pie"), chunk(2, "pear")]
    made = index(chunks, [[1, 0], [0.9, 0.1], [0, 1]])
    found = made.search("pear pie", vector=np.array([1, 0], np.float32), by_text=True, k=3, filter=None)
    assert found[0].chunk.document == "d1"
    assert found[0].score == pytest.approx(1 / 62 + 1 / 61)


def test_a_filter_is_applied_before_ranking():
    chunks = [chunk(number, "cat " * (10 - number), year=2000 + number) for number in range(10)]
    made = index(chunks, np.eye(10))
    found = made.search("cat", vector=np.ones(10, np.float32), by_text=True, k=3, filter={"year": {"$gte": 2008}})
    assert sorted(each.chunk.document for each in found) == ["d8", "d9"]
    assert made.search("cat", vector=None, by_text=True, k=3, filter={"year": 1}) == []


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"topic": "a"}, [0, 3]),
        ({"topic": ["a", "b"]}, [0, 1, 3]),
        ({"topic": {"$in": ["b"]}}, [1, 3]),
        ({"topic": {"$nin": ["b"]}}, [0, 2]),
        ({"topic": {"$ne": "a"}}, [1, 2]),
        ({"topic": {"$exists": False}}, [2]),
        ({"year": {"$gte": 2001, "$lt": 2003}}, [1, 2]),
        ({"year": {"$gt": "2001"}}, []),
        ({"year": 2001.0}, [1]),
        ({"flag": True}, [0]),
        ({"flag": 1}, [1]),
        ({"document": ["d1", "d2"]}, [1, 2]),
        ({"document": {"$gte": "d2"}}, [2, 3]),
        ({"topic": "a", "year": 2003}, [3]),
        ({}, [0, 1, 2, 3]),
    ],
)
def test_filters(condition, expected):
    chunks = [
        chunk(0, topic="a", year=2000, flag=True),
        chunk(1, topic="b", year=2001, flag=1),
        chunk(2, year=2002),
        chunk(3, topic=["a", "b"], year=2003),
    ]
    assert np.flatnonzero(Fields(chunks).mask(condition)).tolist() == expected


@pytest.mark.parametrize(
    ("condition", "message", "hint"),
    [
        ({"topc": "a"}, "no chunk has the field 'topc'", "Did you mean topic?"),
        ({"topic": {"$gt": [1]}}, "$gt needs a number or text", ""),
        ({"topic": {"$in": "a"}}, "$in needs a list", ""),
        ({"topic": {"$gte_": 1}}, "'$gte_' is not a known operator", "Did you mean $gte?"),
    ],
)
def test_a_wrong_filter_is_named(condition, message, hint):
    with pytest.raises(Invalid) as caught:
        Fields([chunk(0, topic="a")]).mask(condition)
    assert message in caught.value.message
    assert caught.value.hint == hint


def clustered(count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(50, 32))
    made = (centres[random.integers(0, 50, count)] + 0.4 * random.normal(size=(count, 32))).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_the_graph_finds_what_exact_search_finds_also_after_a_reload_and_under_a_filter():
    rows, queries = clustered(3000, 1), clustered(60, 2)
    built = Hnsw.build(rows)
    graph = Hnsw.load(built.dump(), ef=built.ef)
    exact = ExactVectors(rows)
    mask = np.arange(3000) % 3 == 0
    for allowed in (None, mask):
        hits = [
            len(
                {place for place, _ in graph.search(each, k=10, mask=allowed)}
                & {place for place, _ in exact.search(each, k=10, mask=allowed)}
            )
            for each in queries
        ]
        assert sum(hits) >= 0.99 * 10 * len(queries)
    assert np.array_equal(graph.rows(), rows)
    few = ManyVectors(graph).search(queries[0], k=5, mask=mask)
    assert few == exact.search(queries[0], k=5, mask=mask)


def test_vectors_are_packed_at_length_one_and_must_agree():
    rows = pack_rows([np.array([3, 4], "<f4").tobytes(), np.zeros(2, "<f4").tobytes()])
    assert rows.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]
    with pytest.raises(Invalid, match="vectors of 1 and 2 dimensions"):
        pack_rows([b"\0" * 4, b"\0" * 8])
    with pytest.raises(Invalid, match="NaN"):
        pack_rows([np.array([np.nan], "<f4").tobytes()])
