"""Server-sent events (WHATWG HTML, section 9.2), out of bytes as they arrive.

Lines end at LF, CR or CRLF only. (`splitlines` would also cut at U+2028, which JSON text may hold.)
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerEvent:
    """One event; `name` is `message` when the server gave none."""

    name: str
    data: str


async def server_events(chunks: AsyncIterable[bytes]) -> AsyncIterator[ServerEvent]:
    """Every event with data. One that the stream's end cuts off is dropped, as the specification says."""
    name, data, rest = "", list[str](), b""
    async for chunk in chunks:
        *lines, rest = _LINE_END.split(rest + chunk)
        for line in lines:
            if not line:
                if data:
                    yield ServerEvent(name=name or "message", data="\n".join(data))
                name, data = "", []
                continue
            field, _, value = line.decode("utf-8", "replace").partition(":")
            value = value.removeprefix(" ")
            if field == "data":
                data.append(value)
            elif field == "event":
                name = value
