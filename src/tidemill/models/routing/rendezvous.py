"""Which target a key belongs to, without a table: every target bids, and the highest bid wins.

Highest random weight: D. Thaler, C. Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996; with weights as in
draft-ietf-bess-weighted-hrw. When a target goes, only its own keys move; when one comes, only those that it wins.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Final

_BITS: Final = 53  # what a float holds, so that no draw is ever 0 or 1


def bid(key: bytes, name: str, weight: float) -> float:
    """What `name` bids for `key`: larger is better, `-inf` without weight."""
    if weight <= 0:
        return -math.inf
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), key=key, digest_size=8).digest()
    return -weight / math.log(((int.from_bytes(digest, "big") >> (64 - _BITS)) + 0.5) / (1 << _BITS))


def key_of(text: str) -> bytes:
    """A key for `bid`: 16 bytes of BLAKE2b (RFC 7693)."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def within_bound(loads: Sequence[int], weights: Sequence[float], *, most: float) -> list[bool]:
    """Whether each may take one more without having over `most` (above 1) times its weight's part of all that is out.

    Consistent hashing with bounded loads: V. Mirrokni, M. Thorup, M. Zadimoghaddam, SODA 2018.
    """
    total = sum(weights)
    out = sum(loads) + 1
    return [
        total > 0 and load + 1 <= math.ceil(most * out * weight / total) for load, weight in zip(loads, weights, strict=True)
    ]
