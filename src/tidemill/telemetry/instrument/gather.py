"""What a generator gave, put together for its span: texts are joined, anything else is a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from tidemill.core.json import Json
from tidemill.telemetry.instrument import values

Reduce: TypeAlias = Callable[[list[object]], object]
_MOST: Final = 10_000


class Gathered:
    """Pieces as they come, bounded. With `reduce`, the pieces themselves are kept, and it makes the output of them."""

    __slots__ = ("_characters", "_dropped", "_items", "_reduce")

    def __init__(self, reduce: Reduce | None) -> None:
        self._reduce = reduce
        self._items: list[object] = []
        self._characters = 0
        self._dropped = 0

    def add(self, item: object) -> None:
        """Take one more."""
        if len(self._items) >= _MOST or self._characters > values.LARGEST:
            self._dropped += 1
            return
        if isinstance(item, str):
            self._characters += len(item)
        elif self._reduce is None:
            item = values.plain(item)  # it may be changed by whoever takes it
        self._items.append(item)

    def output(self) -> object:
        """All of it as one value. When `reduce` fails, the pieces are listed."""
        if self._reduce is not None and not self._dropped:
            try:
                return self._reduce(self._items)
            except Exception:  # noqa: BLE001  (a user's function; recording must not fail the user's call)
                return _listed(self._items, 0)
        return _listed(self._items, self._dropped)


def _listed(items: Sequence[object], dropped: int) -> object:
    more: list[Json] = [f"({dropped} more)"] if dropped else []
    if items and all(isinstance(each, str) for each in items):
        return "".join(map(str, [*items, *more]))
    return [*items, *more]
