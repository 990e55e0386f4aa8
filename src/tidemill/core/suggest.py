"""The nearest right name, for errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when none is near."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown `name`: the nearest known one, else the list of what exists."""
    names = sorted(set(known))
    near = nearest(name, names)
    if near is not None:
        return f"Did you mean {near}?"
    return f"Known: {', '.join(names[:20])}." if names else "None exist yet."
