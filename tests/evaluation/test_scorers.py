"""The built-in scorers against known answers and arithmetic by hand, and each through the public kit."""

import math

import anyio
import pytest

from tidemill.core.errors import Invalid
from tidemill.core.extend import extension_names
from tidemill.core.records import Version
from tidemill.evaluation.scorers.choose import choose_scorers, fitting_names, make_scorer
from tidemill.evaluation.scorers.normalise import as_text, normalise
from tidemill.evaluation.scorers.own import OwnScorer
from tidemill.testing import check_scorer

RETRIEVED = ["a", "b", "b", "c", "d"]


def score(name, options=None, **fields):
    return anyio.run(make_scorer(name, options or {}).scorer.score, fields)


def value(name, options=None, **fields):
    return score(name, options, **fields).value


@pytest.mark.parametrize("name", extension_names("scorers"))
def test_every_built_in_scorer_keeps_the_promises(name):
    check_scorer(make_scorer(name, {}).scorer)


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("The  Denver Broncos!", "denver broncos"),
        ("an apple, a day", "apple day"),
        ("Saint-Étienne", "saintétienne"),
        ("theatre", "theatre"),
        ("U.S.A.", "usa"),
        ("\tThe\n", ""),
        ("it's 1,000", "its 1000"),
        ("«quoted» – dash", "«quoted» – dash"),
    ],
)
def test_squads_normalisation(text, normalised):
    assert normalise(text) == normalised


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, ""), ("x", "x"), (42, "42"), (True, "true"), ({"text": "x", "data": 1}, "x"), ({"label": "x"}, '{"label":"x"}'),
        (["a"], '["a"]'),
    ],
)  # fmt: skip
def test_an_output_as_text(given, text):
    assert as_text(given) == text


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [
        ("The Denver Broncos.", "denver broncos", 1.0),
        ("Broncos", "denver broncos", 0.0),
        ("Broncos", ["Denver Broncos", "broncos"], 1.0),
        ("", "", 1.0),
        (42, 42, 1.0),
        (None, "x", 0.0),
    ],
)
def test_exact_match(output, reference, expected):
    assert value("exact_match", output=output, reference=reference) == expected


def test_exact_match_to_the_letter():
    options = {"normalised": False}
    assert value("exact_match", options, output=" The End. ", reference="The End.") == 1.0
    assert value("exact_match", options, output="the end", reference="The End.") == 0.0


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [
        ("the cat sat on the mat", "a cat sat", 2 * 2 / (4 + 2)),  # articles are gone: cat sat on mat / cat sat
        ("yes yes yes", "yes no", 2 * 1 / (3 + 2)),  # a word counts as often as both have it
        ("x", ["a b c", "x"], 1.0),  # the nearest accepted answer
        ("the", "a", 1.0),
        ("", "word", 0.0),
        ("word", "other", 0.0),
    ],
)
def test_token_f1(output, reference, expected):
    assert value("token_f1", output=output, reference=reference) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [
        ("It is the Eiffel Tower, in Paris.", "eiffel tower", 1.0),
        ("category", "cat", 0.0),
        ("a cat.", "cat", 1.0),
        ("tower eiffel", "eiffel tower", 0.0),
        ("Only Rome", ["Paris", "Rome"], 1.0),
        ("", "Rome", 0.0),
    ],
)
def test_contains_whole_words(output, reference, expected):
    assert value("contains", output=output, reference=reference) == expected


def test_contains_every_one_and_to_the_letter():
    assert value("contains", {"all": True}, output="Rome and Paris", reference=["paris", "rome"]) == 1.0
    missing = score("contains", {"all": True}, output="Only Rome", reference=["Paris", "Rome"])
    assert (missing.value, missing.reason) == (0.0, "not in the output: paris")
    assert value("contains", {"normalised": False}, output="a+b=c", reference="+b") == 1.0
    assert value("contains", {"normalised": False}, output="paris", reference="Paris") == 0.0


@pytest.mark.parametrize("name", ["exact_match", "contains", "token_f1"])
@pytest.mark.parametrize("reference", [None, []])
def test_without_a_reference_there_is_no_score(name, reference):
    got = score(name, output="x", reference=reference)
    assert (got.value, got.error) == (None, "the sample has no reference")


@pytest.mark.parametrize(
    ("gold", "options", "expected"),
    [
        ("a", {}, 1.0),
        (["a", "d", "x"], {}, 2 / 3),
        (["a", "d"], {"k": 3}, 1 / 2),  # b's two chunks are one document: a, b, c
        (["c"], {"k": 3}, 1.0),
        ({"a": 2, "x": 1, "b": 0}, {}, 1 / 2),
        ([["x", "c"], "y"], {}, 1 / 2),  # x and c answer equally well: finding c is finding the item
        ([["a", "b"]], {"k": 1}, 1.0),
        ([["a", "b"], "c"], {"k": 2}, 1.0),  # a and b are one place of the ranking
    ],
)
def test_recall_at_k(gold, options, expected):
    assert value("recall_at_k", options, retrieved=RETRIEVED, gold=gold) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("gold", "options", "expected"),
    [
        ("a", {}, 1.0),
        ("b", {}, 1 / math.log2(3)),
        ("d", {"k": 3}, 0.0),
        (["a", "c"], {}, (1 + 1 / 2) / (1 + 1 / math.log2(3))),
        ({"a": 1, "c": 3}, {}, (1 + 3 / 2) / (3 + 1 / math.log2(3))),
        ({"c": 3, "x": 2}, {"k": 1}, 0.0),
        ([["x", "b"]], {}, 1 / math.log2(3)),
        ([["b", "d"], "a"], {}, 1.0),  # a first, then the pair at b; d adds nothing
    ],
)
def test_ndcg_at_k(gold, options, expected):
    assert value("ndcg_at_k", options, retrieved=RETRIEVED, gold=gold) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("gold", "options", "expected"),
    [
        ("a", {}, 1.0),
        (["c", "d"], {}, 1 / 3),
        ("d", {"k": 3}, 0.0),
        ("x", {}, 0.0),
        ([["x", "c"]], {}, 1 / 3),
        ({"b": 1}, {}, 1 / 2),
    ],
)
def test_mrr(gold, options, expected):
    assert value("mrr", options, retrieved=RETRIEVED, gold=gold) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["recall_at_k", "ndcg_at_k", "mrr"])
def test_retrieval_without_gold_or_hits(name):
    assert score(name, retrieved=RETRIEVED, gold=None).error == "the sample has no gold document"
    assert score(name, retrieved=RETRIEVED, gold=[]).error == "the sample has no gold document"
    assert value(name, retrieved=[], gold="a") == 0.0
    assert score(name, retrieved=None, gold="a").error == "the application has no step that retrieves"
    for wrong in (7, [7], {"a": "much"}, {"a": True}, [["a", 1]]):
        with pytest.raises(Invalid, match=r"gold is an id|the gain of"):
            value(name, retrieved=RETRIEVED, gold=wrong)


@pytest.mark.parametrize("k", [0, -1, 1.5, "ten", True])
def test_a_wrong_k_is_refused(k):
    with pytest.raises(Invalid, match="k is a whole number from 1"):
        make_scorer("recall_at_k", {"k": k})


def test_groundedness_counts_the_answers_words_in_the_source():
    """Of paris, is, big and honestly 3 are there; a citation is no word; a word counts only as often as the source has it."""
    source = {"retrieved_text": ["Paris is the capital."], "context": "It is big."}
    assert value("groundedness_overlap", output="Paris is big, honestly [1].", **source) == pytest.approx(3 / 4)
    assert value("groundedness_overlap", output="Paris Paris [1, 2]", **source) == pytest.approx(1 / 2)
    assert value("groundedness_overlap", output="[1]", **source) == 0.0
    nothing = score("groundedness_overlap", output="Paris", retrieved_text=[], context=None)
    assert (nothing.value, nothing.error) == (None, "nothing was retrieved and the sample has no context")
    assert value("groundedness_overlap", output="big", retrieved_text=[], context=["big", "small"]) == 1.0


def test_a_scorers_digest_covers_its_options():
    digests = {make_scorer("recall_at_k", options).digest for options in ({}, {"k": 5}, {"k": 6})}
    assert len(digests) == 3
    assert make_scorer("mrr", {}, metric="first").metric == "first"


def dataset(**roles):
    return Version(project="p", kind="dataset", name="x", number=1, digest="sha256:0", spec={"roles": roles})


def test_the_scorers_that_fit_a_dataset():
    assert fitting_names(dataset(input="q", reference="a")) == ["exact_match", "contains", "token_f1"]
    assert fitting_names(dataset(input="q", gold="d")) == ["recall_at_k", "ndcg_at_k", "mrr"]
    with pytest.raises(Invalid, match="neither a reference nor gold"):
        fitting_names(dataset(input="q"))


def test_wrong_names_are_refused_with_the_nearest():
    with pytest.raises(Invalid, match="'exact_mach' is not a known scorer") as caught:
        choose_scorers(["exact_mach"], dataset=dataset(), project=lambda _: dataset())
    assert "exact_match" in caught.value.hint
    with pytest.raises(Invalid, match="named twice"):
        choose_scorers(["mrr", "mrr"], dataset=dataset(), project=lambda _: dataset())
    with pytest.raises(Invalid, match="has no option 'kk'") as caught:
        make_scorer("recall_at_k", {"kk": 3})
    assert "k" in caught.value.hint


def own(function):
    return OwnScorer(name="mine", reads=frozenset({"output"}), function=function, version="1")


async def waiting(output):
    await anyio.lowlevel.checkpoint()
    return len(output)


@pytest.mark.parametrize(
    ("function", "expected"), [(lambda output: len(output) / 4, 0.5), (lambda output: output == "ab", 1.0), (waiting, 2.0)]
)
def test_a_scorer_of_the_users_own(function, expected):
    scorer = own(function)
    assert anyio.run(scorer.score, {"output": "ab"}).value == expected


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda output: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda output: None, "the scorer gave no score"),
        (lambda text: 1, "TypeError"),
        (lambda output: float("nan"), "answered nan"),
        (lambda output: math.inf, "answered inf"),
        (lambda output: "good", "answered 'good'"),
    ],
)
def test_what_a_scorer_of_the_users_own_does_wrong_is_the_scores_error(function, error):
    got = anyio.run(own(function).score, {"output": "ab"})
    assert got.value is None
    assert error in got.error


def test_numbers_of_numpy_are_numbers():
    import numpy as np

    assert anyio.run(own(lambda output: np.float32(0.5)).score, {"output": "x"}).value == 0.5
    assert anyio.run(own(lambda output: np.int64(2)).score, {"output": "x"}).value == 2.0


def test_a_scorer_of_the_users_own_does_not_hold_up_the_others():
    """A plain function runs on a thread: it may wait for what the event loop does meanwhile."""
    import threading

    async def main():
        released = threading.Event()
        scorer = own(lambda output: released.wait(10))
        async with anyio.create_task_group() as group:

            async def scored():
                assert (await scorer.score({"output": "x"})).value == 1.0

            group.start_soon(scored)
            await anyio.lowlevel.checkpoint()
            released.set()

    anyio.run(main)
