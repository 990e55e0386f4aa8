"""A call of Gemini's whose arguments come in pieces, each with its place: `{"jsonPath": "$.a[0].b", "stringValue": …}`."""

from __future__ import annotations

import re
from typing import Any, Final, cast

import orjson

from tidemill.core.json import Json, JsonObject
from tidemill.models.reading import children

_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[['\"]([^'\"]*)['\"]\]")
_KINDS: Final = ("stringValue", "numberValue", "boolValue")
_MOST: Final = 10_000


class PartialCall:
    """One call on its way. `index` says which of an answer's calls it is."""

    def __init__(self, index: int) -> None:
        self.index = index
        self._arguments: dict[str, Any] = {}

    def take(self, call: JsonObject) -> None:
        """Add what one piece says. A text that goes on is put behind what came of it."""
        for piece in children(call, "partialArgs"):
            steps = [name or quoted or int(place) for name, place, quoted in _STEP.findall(str(piece.get("jsonPath")))]
            if steps and isinstance(steps[0], str):
                _put(self._arguments, steps, next((piece[kind] for kind in _KINDS if kind in piece), None))

    @property
    def arguments(self) -> str:
        """The arguments so far, as JSON text."""
        return orjson.dumps(self._arguments).decode()


def _put(holder: Any, steps: list[str | int], value: Json) -> None:
    """Set the value at a place, with the objects and lists on the way to it; a place that cannot be is passed over."""
    step, rest = steps[0], steps[1:]
    if not _has_room(holder, step):
        return
    before: Any = holder.get(step) if isinstance(step, str) else holder[step]
    if not rest:
        holder[step] = before + value if isinstance(before, str) and isinstance(value, str) else value
        return
    if not isinstance(before, list if isinstance(rest[0], int) else dict):
        holder[step] = [] if isinstance(rest[0], int) else {}
    _put(holder[step], rest, value)


def _has_room(holder: Any, step: str | int) -> bool:
    if isinstance(step, str):
        return isinstance(holder, dict)
    if not isinstance(holder, list) or step > _MOST:
        return False
    items = cast("list[Any]", holder)
    items.extend([None] * (step + 1 - len(items)))
    return True
