"""When a canary has run long enough: `200 requests`, `1h`, or `200 requests | 1h`, whichever comes first."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tidemill.core.durations import parse_duration
from tidemill.core.errors import Invalid

_REQUESTS = re.compile(r"(\d[\d_,]*)\s*requests?")
_HINT = 'Write after: "200 requests", "1h", or "200 requests | 1h" for whichever comes first.'


@dataclass(frozen=True, kw_only=True, slots=True)
class After:
    """Enough requests, or enough time (seconds); None: that does not count. With neither it is enough at once."""

    requests: int | None = None
    seconds: float | None = None

    def is_enough(self, *, requests: int, seconds: float) -> bool:
        """Whether one of them is reached."""
        if self.requests is None and self.seconds is None:
            return True
        return (self.requests is not None and requests >= self.requests) or (
            self.seconds is not None and seconds >= self.seconds
        )


def parse_after(text: str) -> After:
    """Read it. Raises `Invalid`."""
    requests: int | None = None
    seconds: float | None = None
    for piece in text.split("|"):
        match = _REQUESTS.fullmatch(piece.strip())
        if match is not None:
            requests = int(match[1].replace("_", "").replace(",", ""))
            continue
        try:
            seconds = parse_duration(piece.strip())
        except Invalid as error:
            raise Invalid(f"after is {text!r}, which says neither how many requests nor how long", hint=_HINT) from error
    return After(requests=requests, seconds=seconds)
