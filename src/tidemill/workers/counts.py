"""How many connections each worker has open, where all of them can see it, so that new ones go to whoever has fewest."""

from __future__ import annotations

import mmap
import struct
from typing import Final

_COUNT: Final = struct.Struct("=q")


class Counts:
    """A worker's count among all. It is a hint: a count that is wrong for a while costs a millisecond, no connection."""

    def __init__(self, file: int, *, place: int, places: int) -> None:
        """Over an open file, which is grown to what it takes."""
        self._shared = mmap.mmap(file, places * _COUNT.size)
        self._at = place * _COUNT.size
        self._all = range(0, places * _COUNT.size, _COUNT.size)

    def say(self, count: int) -> None:
        """Let the others know."""
        _COUNT.pack_into(self._shared, self._at, count)

    def is_fewest(self, count: int) -> bool:
        """Whether none has fewer than this."""
        return all(each == self._at or _COUNT.unpack_from(self._shared, each)[0] >= count for each in self._all)


def size_of(places: int) -> int:
    """How many bytes it takes."""
    return places * _COUNT.size
