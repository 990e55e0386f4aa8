"""Topics: groups of like texts in reference and window together, how each grew or shrank, and by which words it is known.

Spherical k-means (Dhillon and Modha 2001) from a k-means++ start; words by the log-odds of a topic against all other texts
with an informative prior (Monroe, Colaresi and Quinn 2008), times how rare they are. Groups are made without a look at the
labels, so that a test of the labels afterwards is valid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tidemill.monitor.mmd import Places, Rows

_ROUNDS: Final = 30
_STARTS: Final = 3
_MOST: Final = 20


def topic_count(texts: int) -> int:
    """How many topics to look for among so many texts: from 2 to 20."""
    return int(min(_MOST, max(2, round((texts / 2) ** 0.5))))


def cluster(rows: Rows, k: int, *, seed: int = 0, starts: int = _STARTS) -> Places:
    """Each row's topic, 0 to at most k - 1, the largest topic first. Rows of length 1."""
    generator = np.random.default_rng(seed)
    k = min(k, len(np.unique(rows, axis=0)))
    found = [_k_means(rows, _spread_start(rows, k, generator)) for _ in range(starts)]
    places = max(found, key=lambda each: each[1])[0]
    names, inverse, sizes = np.unique(places, return_inverse=True, return_counts=True)
    rank = np.empty(len(names), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(names))
    return rank[inverse]


def _spread_start(rows: Rows, k: int, generator: np.random.Generator) -> Rows:
    """k-means++: each next centre is drawn by its squared distance from the nearest so far."""
    chosen = [int(generator.integers(len(rows)))]
    away = np.maximum(1 - rows @ rows[chosen[0]], 0)
    while len(chosen) < k:
        total = float(away.sum())
        next_one = int(generator.choice(len(rows), p=away / total)) if total > 0 else int(generator.integers(len(rows)))
        chosen.append(next_one)
        away = np.minimum(away, np.maximum(1 - rows @ rows[next_one], 0))
    return rows[chosen]


def _k_means(rows: Rows, centres: Rows) -> tuple[Places, float]:
    places = np.full(len(rows), -1, dtype=np.int64)
    for _ in range(_ROUNDS):
        likeness = rows @ centres.T
        nearest = likeness.argmax(axis=1)
        if (nearest == places).all():
            break
        places = nearest
        sums = np.eye(len(centres), dtype=np.float32)[places].T @ rows
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), centres).astype(np.float32)
    return places, float((rows @ centres.T).max(axis=1).sum())


def typical_words(split: Sequence[Sequence[str]], inside: npt.NDArray[np.bool_], *, most: int = 5) -> list[str]:
    """The words by which the texts inside are told from all others, the most telling first."""
    here = Counter(word for each, within in zip(split, inside, strict=True) if within for word in set(each))
    there = Counter(word for each, within in zip(split, inside, strict=True) if not within for word in set(each))
    total = Counter(here)
    total.update(there)
    everything, in_here, in_there = sum(total.values()), sum(here.values()), sum(there.values())
    scale = 50 / max(1, everything)

    def score(word: str) -> float:
        prior = scale * total[word]
        rest = 50 - prior
        odds = np.log((here[word] + prior) / max(1e-9, in_here - here[word] + rest))
        other = np.log((there[word] + prior) / max(1e-9, in_there - there[word] + rest))
        rare = np.log(1 + len(split) / total[word])  # what stands in many texts tells little, however uneven
        return float(rare * (odds - other) / np.sqrt(1 / (here[word] + prior) + 1 / (there[word] + prior)))

    scored = {word: score(word) for word, held in here.items() if held > 1 and len(word) > 1}
    best = sorted(scored, key=lambda word: (-scored[word], word))[:most]
    return [word for word in best if scored[word] > 0]


def central(rows: Rows, places: Places, *, most: int) -> list[int]:
    """Of the rows at `places`, those nearest to their middle, the nearest first."""
    middle = rows[places].mean(axis=0)
    order = np.argsort(-(rows[places] @ middle), kind="stable")
    return [int(places[each]) for each in order[:most]]


def spread_out(rows: Rows, places: Places, *, most: int, apart: float, known: Rows | None = None) -> list[int]:
    """Of the rows at `places`, up to `most` that stand for them all, the middle one first, each next the farthest away.

    None has a cosine above `apart` with another chosen one or with a row of `known`.
    """
    candidates = rows[places]
    nearest = (candidates @ known.T).max(axis=1) if known is not None and len(known) else np.full(len(places), -1.0)
    free = nearest <= apart
    if not free.any():
        return []
    middle = candidates.mean(axis=0)
    first = int(np.argmax(np.where(free, candidates @ middle, -np.inf)))
    chosen = [first]
    closest = np.maximum(candidates @ candidates[first], 0)
    while len(chosen) < most:
        next_one = int(np.argmin(np.where(free, closest, np.inf)))
        if not free[next_one] or closest[next_one] > apart:
            break
        chosen.append(next_one)
        closest = np.maximum(closest, candidates @ candidates[next_one])
    return [int(places[each]) for each in chosen]
