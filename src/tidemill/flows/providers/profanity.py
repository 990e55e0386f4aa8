"""How offensive a text is, by alt-profanity-check: a linear classifier over English words.

https://pypi.org/project/alt-profanity-check
"""
# pyright: basic
# The package and scikit-learn are typed in part only.

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib import metadata

from tidemill.core.errors import MissingExtra


def require_profanity() -> str:
    """Its version, part of every score's key. Raises `MissingExtra`."""
    if importlib.util.find_spec("profanity_check") is None:
        raise MissingExtra("safety", needed_for="scoring offensive language")
    return f"alt-profanity-check {metadata.version('alt-profanity-check')}"


def probabilities(texts: Sequence[str]) -> list[float]:
    """The chance, 0 to 1, that each text is offensive. Blocking; slow the first time."""
    from profanity_check import predict_prob  # noqa: PLC0415  (1.3 s, of the extra)

    return [float(each) for each in predict_prob(list(texts))]
