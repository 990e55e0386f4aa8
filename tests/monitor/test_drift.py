"""The decision: what moved is found, and too little, constant or unchanged texts never alarm."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
import numpy as np
import pytest

from tidemill.core.extend import load_extension
from tidemill.monitor.drift import Drift, Options, Side, detect_drift, false_alarm_rate
from tidemill.monitor.moved import compare_topics, drift_json, moved_languages, propose, telling_examples
from tidemill.monitor.texts import count_tokens, languages, text_of, words
from tidemill.monitor.topics import cluster, spread_out, typical_words

QUICK = Options(permutations=499, simulations=200)
BANK = [
    "please freeze my card",
    "what is my balance today",
    "move money to my savings",
    "pay my bill now",
    "report a lost card",
]
TRIP = ["book a flight to paris", "find a hotel near the beach", "will it rain in rome", "rent me a car", "plan a holiday trip"]


def made(templates: Sequence[str], count: int, *, seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [f"{generator.choice(templates)} {' '.join(generator.choice(BANK[0].split(), 2))}" for _ in range(count)]


def bag(texts: Sequence[str], *, width: int = 64):
    """A vector by words, the same for the same text."""
    import zlib

    rows = np.zeros((len(texts), width), dtype=np.float32)
    for place, text in enumerate(texts):
        for word in words(text):
            rows[place, zlib.crc32(word.encode()) % width] += 1
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths, lengths, 1)


def side(texts: Sequence[str]) -> Side:
    return Side(texts=texts, rows=bag(texts), languages=languages(texts))


def test_a_new_topic_is_found_named_and_proposed() -> None:
    before, now = side(made(BANK, 150, seed=0)), side([*made(BANK, 60, seed=1), *made(TRIP, 60, seed=2)])
    found = detect_drift(before, now, options=QUICK)
    assert found.verdict == "drift"
    assert {each.name for each in found.tests if each.alarm} >= {"vocabulary", "topics", "embeddings"}
    assert found.p_value is not None
    assert found.p_value < 0.05
    topics = compare_topics(before, now, found, alpha=0.05)
    new = [each for each in topics if each.change == "new"]
    assert new
    told = {word for each in new for word in each.words}
    assert told & set(words(" ".join(TRIP)))
    for each in new:
        assert each.interval[0] > 0
        assert each.interval[0] <= each.difference <= each.interval[1]
        assert all(now.texts[place].split()[0] in " ".join(TRIP) for place in each.examples)
    proposed = propose(before, now, found, topics, most=10)
    assert 0 < len(proposed) <= 10
    places = [place for place, _ in proposed]
    assert len({now.texts[place] for place in places}) == len(places)
    assert now.rows is not None
    assert before.rows is not None
    assert float((now.rows[places] @ before.rows.T).max()) <= 0.9  # the reference has none like it
    assert any(now.texts[place].split()[0] in " ".join(TRIP) for place in telling_examples(before, now, found))
    shown = drift_json(found, alpha=0.05)
    assert shown["alarm"] is True


def test_the_same_kind_of_traffic_shows_no_drift() -> None:
    found = detect_drift(side(made(BANK, 150, seed=0)), side(made(BANK, 120, seed=9)), options=QUICK)
    assert found.verdict == "no_drift_shown"
    assert not found.alarm
    assert found.false_alarms is not None
    assert found.false_alarms.sizes == (83, 67)
    low, high = found.false_alarms.interval
    assert low <= found.false_alarms.rate <= high


@pytest.mark.parametrize("count", [0, 1, 5, 19])
def test_a_small_window_is_undecidable_and_never_an_alarm(count: int) -> None:
    for a, b in ((made(BANK, 100, seed=0), made(TRIP, count, seed=1)), (made(TRIP, count, seed=1), made(BANK, 100, seed=0))):
        found = detect_drift(Side(texts=a), Side(texts=b), options=QUICK)
        assert found.verdict == "undecidable"
        assert not found.alarm
        assert found.p_value is None
        assert f"{count} text" in found.reason


def test_constant_values_never_alarm() -> None:
    same = side(["what is my balance"] * 60)
    found = detect_drift(same, side(["what is my balance"] * 40), options=QUICK)
    assert found.verdict == "no_drift_shown"
    assert {each.p_value for each in found.tests} == {1.0}
    assert propose(same, same, found, compare_topics(same, side(same.texts[:40]), found, alpha=0.05), most=5) == []


def test_a_window_that_became_constant_is_drift() -> None:
    assert detect_drift(side(made(BANK, 100, seed=0)), side(["help"] * 60), options=QUICK).alarm


def test_another_language_only() -> None:
    german = [
        "wie hoch ist mein kontostand heute",
        "ich möchte geld auf mein sparkonto überweisen",
        "bitte sperren sie meine karte",
    ]
    before, now = side(made(BANK, 100, seed=0)), side([german[place % 3] for place in range(60)])
    found = detect_drift(before, now, options=QUICK)
    assert "language" in {each.name for each in found.tests if each.alarm}
    assert moved_languages(before, now)[0]["language"] in {"de", "en"}
    german_only = detect_drift(now, now, options=QUICK)
    assert german_only.verdict == "no_drift_shown"
    assert next(each.p_value for each in german_only.tests if each.name == "language") == 1.0


def test_without_vectors_the_rest_is_tested_and_what_is_left_out_is_told() -> None:
    before, now = Side(texts=made(BANK, 100, seed=0)), Side(texts=made(TRIP, 100, seed=1))
    found = detect_drift(before, now, options=QUICK, without={"language": "needs the extra safety"})
    assert found.alarm
    assert {each.name for each in found.tests} == {"tokens", "vocabulary"}
    assert found.left_out["language"] == "needs the extra safety"
    assert set(found.left_out) == {"language", "topics", "embeddings"}
    assert compare_topics(before, now, found, alpha=0.05) == []


def test_the_simulated_rate_keeps_to_alpha_and_follows_it() -> None:
    reference = side(made(BANK, 200, seed=3))
    rates = [
        false_alarm_rate(reference, share=0.5, options=Options(alpha=alpha, permutations=499)) for alpha in (0.01, 0.05, 0.2)
    ]
    found = [each.rate for each in rates if each is not None]
    assert found == sorted(found)
    for rate, alpha in zip(rates, (0.01, 0.05, 0.2), strict=True):
        assert rate is not None
        assert rate.interval[0] <= alpha
    assert false_alarm_rate(side(made(BANK, 30, seed=0)), share=0.5, options=QUICK) is None  # too small to split


def test_the_same_input_gives_the_same_result() -> None:
    a, b = side(made(BANK, 60, seed=0)), side(made(TRIP, 60, seed=1))
    assert detect_drift(a, b, options=QUICK) == detect_drift(a, b, options=QUICK)


def test_topics_are_groups_of_like_texts() -> None:
    texts = [*made(BANK[:1], 30, seed=0), *made(TRIP[:1], 30, seed=1)]
    places = cluster(bag(texts), 2)
    assert len(set(places[:30].tolist())) == 1
    assert len(set(places.tolist())) == 2
    assert {"flight", "paris"} <= set(typical_words([words(each) for each in texts], places == places[30], most=5))
    assert cluster(bag(["same"] * 10), 5).tolist() == [0] * 10


def test_what_is_spread_out_is_apart() -> None:
    rows = bag([*TRIP, *TRIP])
    chosen = spread_out(rows, np.arange(10), most=10, apart=0.9)
    assert len(chosen) == 5
    assert spread_out(rows, np.arange(10), most=10, apart=0.9, known=rows) == []


def test_the_text_of_a_request() -> None:
    assert text_of("hello") == "hello"
    assert text_of({"question": "a", "context": "b"}) == "a\nb"
    parts = [{"type": "text", "text": "hi"}]
    assert text_of([{"role": "system", "content": "be kind"}, {"role": "user", "content": parts}]) == "hi"
    assert text_of([{"role": "user", "content": "one"}, {"role": "assistant", "content": "x"}]) == "one"
    assert text_of(None) == ""
    assert count_tokens("Hi, it's me.") == 7


CHANGES = {"abrupt_topic": (1200, 1200), "gradual_topic": (800, 1600), "language_mix": (600, 600)}
PART = 120


def embed(texts: Sequence[str]):
    from tidemill.core.chat import Connection

    async def work():
        provider = load_extension("embed_providers", "local")()
        try:
            connection = Connection(name="local", provider="local")
            return await provider.embed(texts, model=provider.default_model, params={}, connection=connection)
        finally:
            await provider.close()

    answer = anyio.run(work)
    return np.frombuffer(answer.vectors.data, dtype="<f4").reshape(len(texts), -1)


def spaced(texts: Sequence[str], count: int) -> list[str]:
    return [texts[place * len(texts) // count] for place in range(count)]


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_of_the_streams_is_found(name: str, stream: Callable[[str], list[str]]) -> None:
    texts, (end, start) = stream(name), CHANGES[name]
    before, now = spaced(texts[:end], PART), spaced(texts[start:], PART)
    rows, told = embed([*before, *now]), languages([*before, *now])
    found = detect_drift(
        Side(texts=before, rows=rows[:PART], languages=told[:PART]), Side(texts=now, rows=rows[PART:], languages=told[PART:]),
        options=QUICK,
    )  # fmt: skip
    assert found.alarm
    if name == "language_mix":
        assert "language" in {each.name for each in found.tests if each.alarm}


def test_a_swapped_model_is_found_in_its_answers(stream: Callable[[str], list[str]]) -> None:
    texts = stream("model_swap_outputs")
    found = detect_drift(Side(texts=texts[:147]), Side(texts=texts[147:]), options=QUICK)
    assert found.alarm


def test_the_stream_without_a_change_stays_silent_at_the_rate(stream: Callable[[str], list[str]]) -> None:
    """On 60 resamples; `python -m bench.drift_streams` does a thousand."""
    texts = spaced(stream("null_stationary"), 400)
    rows, told = embed(texts), languages(texts)
    options = Options(permutations=199, simulations=0)
    generator = np.random.default_rng(0)

    def part(places) -> Side:
        return Side(texts=[texts[each] for each in places], rows=rows[places], languages=[told[each] for each in places])

    def once() -> Drift:
        order = generator.permutation(400)
        return detect_drift(part(order[:100]), part(order[100:200]), options=options)

    alarms = sum(once().alarm for _ in range(60))
    assert alarms <= 9  # at most 3 in 60 are meant; 10 would come once in a thousand tries
