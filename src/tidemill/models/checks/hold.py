"""How much of a text that is still coming may go on: held back until what it belongs to can be seen.

`Held` is a state machine with the time given. It looks at nothing by itself: `window` says what to look at, `release` what may
go on once that was done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias

Span: TypeAlias = tuple[int, int, str]
"""Start, end and replacement, in characters of the whole text."""

_STEP: Final = 4
"""A quarter more of characters or seconds may come before the next look, so that not every piece is looked at."""
_LONGEST: Final = 4
"""Times what is held back: for so much a single finding may wait for its end."""


class Held:
    """One text on its way. Characters count from its beginning; times are in seconds of one clock.

    What is at most `characters` long and comes within `seconds` is never released before the whole of it was looked at. Of what
    nothing was found in, no more than `characters` and a quarter wait, and none longer than `seconds` and a quarter. What a
    finding begins in waits for its end, four times as much at most.
    """

    __slots__ = (
        "_arrived", "_characters", "_looked", "_offset", "_reads_all", "_replaced", "_seconds", "_text", "released",
    )  # fmt: skip

    def __init__(self, *, characters: int, seconds: float, reads_all: bool = False) -> None:
        self.released = 0
        self._characters = characters
        self._seconds = seconds
        self._reads_all = reads_all
        self._text = ""
        self._offset = 0  # where `_text` begins: what is older has been forgotten
        self._arrived: deque[tuple[int, float]] = deque()  # up to where, and when
        self._looked = float("-inf")
        self._replaced = -1  # where what was replaced last ended

    @property
    def length(self) -> int:
        """How much has come."""
        return self._offset + len(self._text)

    @property
    def waiting(self) -> int:
        """How much is held back."""
        return self.length - self.released

    @property
    def due(self) -> float | None:
        """When what is held back has waited so long that it is to be looked at; None when nothing waits."""
        if not self._arrived:
            return None
        quarter = self._seconds / _STEP
        return max(self._arrived[0][1] + self._seconds, self._looked) + quarter

    @property
    def is_enough(self) -> bool:
        """Whether so much waits that it is to be looked at."""
        return self.waiting >= self._characters + max(1, self._characters // _STEP)

    def add(self, text: str, now: float) -> None:
        """Take the next piece."""
        if text:
            self._text += text
            self._arrived.append((self.length, now))

    def window(self, *, everything: bool = False) -> tuple[int, str]:
        """What to look at, and where it begins: what waits with some of what went before, or all where that is kept."""
        start = self._offset if everything else max(self._offset, self.released - 2 * self._characters)
        return start, self._text[start - self._offset :]

    def is_settled(self, start: int, stop: int, now: float) -> bool:
        """Whether more of the text would not change what was found there, or will not be waited for."""
        return stop < self.length or self._is_over(start, now)

    def release(self, spans: Sequence[Span], now: float, *, everything: bool = False) -> str:
        """What may go on after a look that found `spans`, in order; with `everything`, all that has come."""
        self._looked = now
        text = self._between(self.length if everything else self._cut(spans, now), spans)
        while self._arrived and self._arrived[0][0] <= self.released:
            self._arrived.popleft()
        if not self._reads_all:
            keep = max(self._offset, self.released - 2 * self._characters)
            self._text, self._offset = self._text[keep - self._offset :], keep
        return text

    def _is_over(self, start: int, now: float) -> bool:
        """Whether what begins there has waited for its end as long as it may."""
        if self.length - start > _LONGEST * self._characters:
            return True
        return bool(self._arrived) and start < self._arrived[0][0] and now >= self._arrived[0][1] + _LONGEST * self._seconds

    def _cut(self, spans: Sequence[Span], now: float) -> int:
        """How far may be released: what is far enough back or has waited enough, and not into what may not have ended."""
        end = max(self.released, self.length - self._characters)
        for at, when in self._arrived:
            if now < when + self._seconds:
                break
            end = max(end, at)
        for start, stop, _ in reversed(spans):
            if start < end and (stop > end or stop == self.length):
                end = stop if self._is_over(start, now) else max(self.released, start)
        return end

    def _between(self, end: int, spans: Sequence[Span]) -> str:
        pieces: list[str] = []
        at = self.released
        for start, stop, replacement in spans:
            if stop <= at or start >= end:
                continue
            if start > at:
                pieces.append(self._text[at - self._offset : start - self._offset])
            if start >= at or at != self._replaced:  # else it is more of what was replaced already
                pieces.append(replacement)
            at = self._replaced = stop
        if at < end:
            pieces.append(self._text[at - self._offset : end - self._offset])
        self.released = max(at, end)
        return "".join(pieces)
