"""Who gets the canary: a share of the callers, always the same ones, decided in memory by a keyed hash.

The hash of a caller is a place in [0, 1); the canary takes those whose place is below its share. The key is the rollout's own,
so that nobody can choose a name that gets the canary, and the next rollout is tried on others. Whoever is in a share is in
every larger share of the same rollout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tidemill.core.records import Bundle
from tidemill.store.rollout_rows import Rollout

Variant: TypeAlias = Literal["canary", "stable"]
_BYTES: Final = 8
_PLACES: Final = 1 << 8 * _BYTES


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """A running rollout, ready to decide. The canary takes the callers whose hash, a 64-bit number, is below `threshold`."""

    rollout: str
    canary: Bundle
    key: bytes
    threshold: int

    def variant(self, asker: str) -> Variant:
        """Which of the two answers `asker` (see `asker_of`)."""
        return "canary" if place_of(asker, key=self.key) < self.threshold else "stable"


def split_of(rollout: Rollout, canary: Bundle) -> Split:
    """The split that a rollout asks for at the step where it is."""
    return Split(
        rollout=rollout.id,
        canary=canary,
        key=bytes.fromhex(rollout.key),
        threshold=round(rollout.share / 100 * _PLACES),
    )


def place_of(asker: str, *, key: bytes) -> int:
    """The hash of a caller, uniform in [0, 2^64): keyed BLAKE2b (RFC 7693). `key` has at most 64 bytes."""
    digest = hashlib.blake2b(asker.encode("utf-8", "surrogatepass"), key=key, digest_size=_BYTES).digest()
    return int.from_bytes(digest, "big")


def asker_of(*, user: str | None, session: str | None, request: Callable[[], str]) -> str:
    """Whom a decision holds for: the user, else the session, else this request alone."""
    if user:
        return f"user:{user}"
    return f"session:{session}" if session else f"request:{request()}"
