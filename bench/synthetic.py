"""Texts and vectors like real ones in what engines feel: word frequencies, clusters, dimensions that matter little."""

from __future__ import annotations

import numpy as np

SEED = 20260101
DIMENSIONS = 384
VOCABULARY = 50_000
_CONSONANTS, _VOWELS = "bdfgklmnprtv", "aeiou"


def vocabulary():
    """Made-up words, the commonest shortest. None is a plural, so that any stemmer leaves it as it is."""
    syllables = [one + other for one in _CONSONANTS for other in _VOWELS]
    base = len(syllables)
    found = []
    for number in range(VOCABULARY):
        rest, word = number, ""
        while rest or not word:
            rest, digit = divmod(rest, base)
            word += syllables[digit]
        found.append(word)
    return np.array(list(dict.fromkeys(found)))


class Words:
    """Draws words by Zipf's law, with Mandelbrot's shift."""

    def __init__(self, seed=SEED):
        self._random = np.random.default_rng(seed)
        self._words = vocabulary()
        weights = 1 / (np.arange(len(self._words)) + 2.7)
        self._steps = np.cumsum(weights / weights.sum())

    def draw(self, count):
        """So many words."""
        places = np.searchsorted(self._steps, self._random.random(count))
        return self._words[np.minimum(places, len(self._words) - 1)].tolist()

    def text(self, count):
        """So many words in sentences of twelve."""
        words = self.draw(count)
        sentences = (" ".join(words[at : at + 12]).capitalize() for at in range(0, count, 12))
        return ". ".join(sentences) + "."


def clustered(count, *, run=10, seed=SEED):
    """Unit vectors of which each `run` in a row are of one document, and documents gather around topics.

    Pairs within a document have a cosine of about 0.7, within a topic of 0.5, others of 0.1. The spectrum falls off, as that of
    sentence embeddings does.
    """
    random = np.random.default_rng(seed)
    spectrum = (1 + np.arange(DIMENSIONS) / 30) ** -0.5

    def draw(rows, weight):
        made = random.standard_normal((rows, DIMENSIONS), dtype=np.float32) * spectrum
        return made * (weight / np.linalg.norm(made, axis=1, keepdims=True))

    documents = -(-count // run)
    topics = draw(max(8, count // 250), 0.9)
    chosen = np.minimum(random.zipf(1.2, documents), 2**31) % len(topics)
    centres = topics[chosen] + draw(documents, 0.5) + draw(1, 0.4)
    return unit(np.repeat(centres, run, axis=0)[:count] + draw(count, 0.75))


def questions(vectors, count, *, seed=SEED + 1):
    """Unit vectors near some of these, at a cosine of about 0.7: a question beside the passage that answers it."""
    random = np.random.default_rng(seed)
    near = vectors[random.choice(len(vectors), count, replace=False)]
    spectrum = (1 + np.arange(DIMENSIONS) / 30) ** -0.5
    away = unit(random.standard_normal((count, DIMENSIONS), dtype=np.float32) * spectrum)
    return unit(0.75 * near + 0.7 * away)


def unit(rows):
    """The same directions, of length 1."""
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)
