"""A watermark in generated text: words of a secret "green" list are made a little likelier; whoever has the key can tell.

Source: Kirchenbauer et al. 2023, "A Watermark for Large Language Models" (ICML), the soft watermark (their algorithm 2) with
the green list seeded by the token before, and their one-proportion z-test. As there, `gamma` is the share of the vocabulary
that is green and `delta` what is added to a green token's logit. A token is green when the four bytes at its place in
SHAKE-256(key, token before), as a number, are below gamma of their range: a keyed hash (FIPS 202) that does not need the size
of the vocabulary. Pure functions over token ids.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemill.core.chat import Secret
from tidemill.core.errors import Invalid
from tidemill.core.json import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BYTES = 4
_RANGE = 2 ** (8 * _BYTES)
_HINT = "Write watermark: {key: env:NAME, gamma: 0.25, delta: 2.0}."
FEWEST = 16
"""Below so many token pairs nothing can be told."""
SHOWN = 1e-5
"""A p-value up to this is called watermarked: one text in 100,000 without a watermark is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Watermark:
    """How a model's answers are marked. `key` says where the secret is; it is never the secret itself."""

    key: Secret
    gamma: float = 0.25
    delta: float = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """What a text shows: `green` of `pairs` distinct token pairs are green.

    `z` is how many standard deviations that is above chance; `p_value` is the exact binomial chance of as many or more green
    pairs in a text that was written without the key. Both say nothing of who wrote a text that shows no watermark.
    """

    tokens: int
    pairs: int
    green: int
    gamma: float
    z: float
    p_value: float

    @property
    def verdict(self) -> str:
        """`watermarked`, `not shown`, or `too short`."""
        if self.pairs < FEWEST:
            return "too short"
        return "watermarked" if self.p_value <= SHOWN else "not shown"


def read_watermark(params: Mapping[str, Json]) -> Watermark | None:
    """The watermark among a model's parameters, None when there is none. Raises `Invalid`."""
    given = params.get("watermark")
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise Invalid("watermark has a key, gamma and delta", where="params.watermark", hint=_HINT)
    unknown = sorted(set(given) - {"key", "gamma", "delta"})
    if unknown:
        raise Invalid(f"watermark has no {unknown[0]!r}", where=f"params.watermark.{unknown[0]}", hint=_HINT)
    if not isinstance(given.get("key"), str):
        raise Invalid("the watermark's key is missing", where="params.watermark.key", hint=_HINT)
    gamma = _number(given, "gamma", default=0.25, low=0.01, high=0.9)
    delta = _number(given, "delta", default=2.0, low=0.1, high=20.0)
    try:
        key = Secret(reference=str(given["key"]))
    except Invalid as error:
        raise Invalid(error.message, where="params.watermark.key", hint=error.hint) from error
    return Watermark(key=key, gamma=gamma, delta=delta)


def _number(given: Mapping[str, Json], name: str, *, default: float, low: float, high: float) -> float:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Invalid(
            f"{name} is {value!r}, but should be from {low:g} to {high:g}", where=f"params.watermark.{name}", hint=_HINT
        )
    return float(value)


def green_list(key: bytes, previous: int, *, vocabulary: int, gamma: float) -> NDArray[np.intp]:
    """The ids below `vocabulary` that are green after the token `previous`, ascending."""
    import numpy as np  # noqa: PLC0415  (heavy)

    places = np.frombuffer(_hash(key, previous, vocabulary), dtype="<u4")
    return np.flatnonzero(places < _threshold(gamma))


def is_green(key: bytes, previous: int, token: int, *, gamma: float) -> bool:
    """Whether `token` is green after the token `previous`."""
    place = _hash(key, previous, token + 1)[_BYTES * token :]
    return int.from_bytes(place, "little") < _threshold(gamma)


def detect(tokens: Sequence[int], *, key: bytes, gamma: float) -> Detection:
    """Test a text's token ids for the watermark.

    Each pair of neighbours counts once: repeated pairs are not independent, and a text that repeats itself would seem marked
    (Kirchenbauer et al. 2024, "On the Reliability of Watermarks for Large Language Models", ICLR).
    """
    pairs = set(itertools.pairwise(tokens))
    green = sum(is_green(key, previous, token, gamma=gamma) for previous, token in pairs)
    number = len(pairs)
    z = (green - gamma * number) / math.sqrt(number * gamma * (1 - gamma)) if number else 0.0
    return Detection(
        tokens=len(tokens), pairs=number, green=green, gamma=gamma, z=z, p_value=binomial_tail(green, number, share=gamma)
    )


def binomial_tail(least: int, trials: int, *, share: float) -> float:
    """The chance of `least` or more successes in `trials`, each with the chance `share`; exact, summed from the small terms."""
    if least <= 0:
        return 1.0
    logs = [
        math.lgamma(trials + 1)
        - math.lgamma(each + 1)
        - math.lgamma(trials - each + 1)
        + each * math.log(share)
        + (trials - each) * math.log1p(-share)
        for each in range(least, trials + 1)
    ]
    return min(1.0, math.fsum(math.exp(each) for each in logs))


def key_id(key: bytes) -> str:
    """Eight hexadecimal digits that tell keys apart without telling them."""
    return hmac.new(key, b"tidemill watermark key", "sha256").hexdigest()[:8]


def _threshold(gamma: float) -> int:
    return round(gamma * _RANGE)


def _hash(key: bytes, previous: int, tokens: int) -> bytes:
    seed = len(key).to_bytes(4, "little") + key + previous.to_bytes(4, "little")
    return hashlib.shake_256(seed).digest(_BYTES * tokens)
