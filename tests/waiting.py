"""Waiting for what another process does, of which nothing here is told."""

from __future__ import annotations

import time
from collections.abc import Callable

_SOON = 100.0


def until(look: Callable[[], bool], *, within: float = _SOON) -> None:
    """Look until it is so. `within` is in seconds: what a test gives up after, no measure of what is looked at."""
    deadline = time.monotonic() + within
    while not look():
        assert time.monotonic() < deadline, f"not so within {within:.0f} s"
