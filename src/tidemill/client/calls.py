"""What every group of calls stands on: the open line to the control plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

from tidemill.client.connect import Line, Params
from tidemill.core.errors import Invalid
from tidemill.core.settings import Settings

T = TypeVar("T")


class Calls:
    """A group of calls of `AsyncClient`, which is made of all of them. `settings` say where it looks and what it works on."""

    settings: Settings

    def __init__(self) -> None:
        self._opened: Line | None = None

    @property
    def _line(self) -> Line:
        if self._opened is None:
            raise Invalid("the client is not open", hint="Write: async with AsyncClient() as client: …")
        return self._opened

    async def _list(self, path: str, _shape: type[T], *, params: Params | None = None, limit: int | None = None) -> Sequence[T]:
        items = list[T]()
        cursor: str | None = None
        while True:
            left = None if limit is None else limit - len(items)
            page = cast(
                "Mapping[str, object]",
                await self._line.send(
                    "GET", path, params={**(params or {}), "limit": left and min(left, 500), "cursor": cursor}
                ),
            )
            items += cast("list[T]", page.get("items", []))
            cursor = cast("str | None", page.get("next"))
            if cursor is None or (limit is not None and len(items) >= limit):
                return items[:limit]
