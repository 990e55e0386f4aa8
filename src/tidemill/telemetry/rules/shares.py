"""How much of something is kept, as people write it."""

from __future__ import annotations

from tidemill.core.errors import Invalid


def parse_share(value: object) -> float:
    """`on`, `off`, or a number from 0 to 1. Raises `Invalid`."""
    if isinstance(value, bool) or value in ("on", "off"):
        return float(value in (True, "on"))
    if isinstance(value, int | float) and 0 <= value <= 1:
        return float(value)
    raise Invalid(f"capture is {value!r}", hint="Write on, off, or a share from 0 to 1.")
