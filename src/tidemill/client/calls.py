"""What every group of calls stands on: the open line to the control plane."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TypeVar, cast

from tidemill.client.connect import Line, Params
from tidemill.core.errors import Invalid
from tidemill.core.settings import Settings

T = TypeVar("T")
_PAGE = 500


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

    async def _list(
        self, path: str, shape: type[T], *, params: Params | None = None, limit: int | None = None, absolute: bool = False
    ) -> Sequence[T]:
        """Every item of a list, or the first `limit`; `absolute` says that the path is the server's, not the project's."""
        return [each async for each in self._iterate(path, shape, params=params, limit=limit, absolute=absolute)]

    async def _iterate(
        self, path: str, _shape: type[T], *, params: Params | None = None, limit: int | None = None, absolute: bool = False
    ) -> AsyncIterator[T]:
        """The items of a list one by one; a page is asked for when the one before is used up."""
        send = self._line.send_absolute if absolute else self._line.send
        left = math.inf if limit is None else limit
        cursor: str | None = None
        while left > 0:
            most = None if left == math.inf else min(int(left), _PAGE)
            page = cast(
                "Mapping[str, object]",
                await send("GET", path, params={**(params or {}), "limit": most, "cursor": cursor}),
            )
            for each in cast("list[T]", page.get("items", [])):
                yield each
                left -= 1
                if left <= 0:
                    return
            cursor = cast("str | None", page.get("next"))
            if cursor is None:
                return
