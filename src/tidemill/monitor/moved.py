"""What moved between a reference and a window: topics, words, languages, lengths, examples, and samples worth keeping. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from tidemill.core.json import Json, JsonObject
from tidemill.evaluation.statistics import holm
from tidemill.monitor.drift import Drift, Side
from tidemill.monitor.mmd import Rows, witness
from tidemill.monitor.tests import fisher_table, share_difference
from tidemill.monitor.texts import count_tokens, words
from tidemill.monitor.topics import central, spread_out, typical_words

Change: TypeAlias = Literal["new", "up", "same", "down", "gone"]
ALIKE: Final = 0.9
"""The cosine above which two texts say the same."""
_EXAMPLES: Final = 3
_SHOWN: Final = 10
_RARE: Final = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Topic:
    """A group of like texts. `reference` and `window` count those in it; `interval` is that of the difference in share.

    `examples` are places in the window, or in the reference where it is gone.
    """

    number: int
    words: Sequence[str]
    reference: int
    window: int
    difference: float
    interval: tuple[float, float]
    p_corrected: float
    change: Change
    examples: Sequence[int]

    @property
    def name(self) -> str:
        """Its words, to be called by."""
        return " ".join(self.words[:3]) or f"topic {self.number + 1}"


def compare_topics(reference: Side, window: Side, drift: Drift, *, alpha: float) -> list[Topic]:
    """Every topic, those that changed most first; "same" unless Fisher's p, by Holm over topics, is below alpha."""
    if drift.topics is None or reference.rows is None or window.rows is None:
        return []
    places = np.asarray(drift.topics, dtype=np.int64)
    rows = np.concatenate([reference.rows, window.rows])
    split = [words(each) for each in (*reference.texts, *window.texts)]
    n, m = reference.n, window.n
    counts = [(int((places[:n] == each).sum()), int((places[n:] == each).sum())) for each in range(int(places.max()) + 1)]
    p_values = holm([float(fisher_table(n, n + m, a + b)[a]) for a, b in counts])
    topics: list[Topic] = []
    for number, ((a, b), p_value) in enumerate(zip(counts, p_values, strict=True)):
        change = _change(a / n, b / m) if p_value < alpha else "same"
        inside = places == number
        own = np.flatnonzero(inside[:n] if not b else inside[n:]) + (0 if not b else n)
        topics.append(
            Topic(
                number=number, words=typical_words(split, inside), reference=a, window=b, difference=b / m - a / n,
                interval=share_difference(a, n, b, m), p_corrected=p_value, change=change,
                examples=[each - (n if b else 0) for each in central(rows, own, most=_EXAMPLES)],
            )
        )  # fmt: skip
    return sorted(topics, key=lambda each: (each.change == "same", -abs(each.difference)))


def _change(then: float, now: float) -> Change:
    if now > then:
        return "new" if then * _RARE <= now else "up"
    return "gone" if now * _RARE <= then else "down"


def moved_words(reference: Side, window: Side) -> list[JsonObject]:
    """The words whose share of texts changed most for its spread: `{"word", "then", "now"}`."""
    then, now = (Counter(word for text in side.texts for word in set(words(text))) for side in (reference, window))
    n, m = reference.n, window.n

    def size(word: str) -> float:
        share = (then[word] + now[word]) / (n + m)
        return abs(now[word] / m - then[word] / n) / max(1e-9, (share * (1 - share)) ** 0.5)

    often = [word for word in {**then, **now} if then[word] + now[word] > 1]
    best = sorted(often, key=lambda word: (-size(word), word))[:_SHOWN]
    return [{"word": word, "then": then[word] / n, "now": now[word] / m} for word in best]


def moved_languages(reference: Side, window: Side) -> list[JsonObject]:
    """Each language's share, with the interval of the difference; the largest change first."""
    if reference.languages is None or window.languages is None:
        return []
    then, now = Counter(reference.languages), Counter(window.languages)
    n, m = reference.n, window.n
    found: list[JsonObject] = [
        {
            "language": each, "then": then[each] / n, "now": now[each] / m, "difference": now[each] / m - then[each] / n,
            "interval": list(share_difference(then[each], n, now[each], m)),
        }
        for each in {**then, **now}
    ]  # fmt: skip
    return sorted(found, key=lambda each: -abs(now[str(each["language"])] / m - then[str(each["language"])] / n))[:_SHOWN]


def token_quantiles(side: Side) -> JsonObject:
    """The 10th, 50th and 90th percentile of the number of words and signs."""
    low, middle, high = np.quantile([count_tokens(each) for each in side.texts], [0.1, 0.5, 0.9])
    return {"p10": float(low), "p50": float(middle), "p90": float(high)}


def telling_examples(reference: Side, window: Side, drift: Drift) -> list[int]:
    """Places in the window of the texts that stand most where the reference is thin, no two alike: MMD's witness function."""
    if drift.gamma is None or reference.rows is None or window.rows is None:
        return []
    rows = np.concatenate([reference.rows, window.rows])
    labels = np.zeros(len(rows), dtype=np.float32)
    labels[: reference.n] = 1
    score = witness(rows, labels, gamma=drift.gamma)[reference.n :]
    chosen: list[int] = []
    for place in np.argsort(-score, kind="stable"):
        if len(chosen) == _SHOWN:
            break
        if not chosen or float((window.rows[chosen] @ window.rows[place]).max()) <= ALIKE:
            chosen.append(int(place))
    return chosen


def propose(reference: Side, window: Side, drift: Drift, topics: Sequence[Topic], *, most: int) -> list[tuple[int, str]]:
    """Places in the window, each with its topic's name, of texts that the reference lacks: those that stand for what grew.

    None says the same as a text of the reference or as another one. Without drift, nothing is proposed.
    """
    if not drift.alarm or drift.topics is None or reference.rows is None or window.rows is None:
        return []
    places = np.asarray(drift.topics[reference.n :], dtype=np.int64)
    grown = [each for each in topics if each.change in {"new", "up"}]
    if not grown:
        return [(each, "") for each in _unlike(reference.rows, window.rows, telling_examples(reference, window, drift))[:most]]
    total = sum(each.difference for each in grown)
    chosen: list[tuple[int, str]] = []
    for topic in grown:
        room = min(most - len(chosen), max(1, round(most * topic.difference / total)))
        own = np.flatnonzero(places == topic.number)
        found = spread_out(window.rows, own, most=room, apart=ALIKE, known=_with(reference.rows, window.rows, chosen))
        chosen += [(each, topic.name) for each in found]
    return chosen


def _with(reference: Rows, window: Rows, chosen: Sequence[tuple[int, str]]) -> Rows:
    return np.concatenate([reference, window[[place for place, _ in chosen]]]) if chosen else reference


def _unlike(reference: Rows, window: Rows, places: Sequence[int]) -> list[int]:
    return [each for each in places if float((reference @ window[each]).max()) <= ALIKE]


def drift_json(drift: Drift, *, alpha: float) -> JsonObject:
    """The decision as it is kept and shown."""
    tests: dict[str, Json] = {
        each.name: {
            "method": each.method, "statistic": each.statistic, "p_value": each.p_value, "p_corrected": each.p_corrected,
            "alarm": each.alarm,
        }
        for each in drift.tests
    }  # fmt: skip
    rate = drift.false_alarms
    return {
        "verdict": drift.verdict, "reason": drift.reason, "alarm": drift.alarm, "p_value": drift.p_value, "alpha": alpha,
        "correction": "holm", "tests": tests, "left_out": dict(drift.left_out),
        "false_alarms": None if rate is None else {
            "rate": rate.rate, "interval": list(rate.interval), "splits": rate.splits, "sizes": list(rate.sizes)
        },
    }  # fmt: skip
