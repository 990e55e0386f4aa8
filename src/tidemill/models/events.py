"""Server-sent events, read from bytes as they arrive.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream, with one difference: an event that the
end of the stream cut off is still handed out by `end`, because some servers leave the last blank line away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tidemill.core.errors import Unavailable

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_LARGEST = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerEvent:
    """One event: its name (empty when none was given) and its data."""

    name: str = ""
    data: str


@dataclass(kw_only=True, slots=True)
class EventReader:
    """Takes bytes in pieces of any size, cut also within a character or a line end, and gives the events they complete."""

    _rest: bytes = b""
    _searched: int = 0
    _began: bool = False
    _name: str = ""
    _data: list[str] = field(default_factory=list[str])

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """The events that `piece` completes. Raises `Unavailable` for one of more than 16 MiB."""
        buffer = self._rest + piece
        if not self._began:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._rest = buffer
                return []
            buffer = buffer.removeprefix(_BOM)
            self._began = True
        return self._lines(buffer)

    def _lines(self, buffer: bytes) -> list[ServerEvent]:
        events: list[ServerEvent] = []
        start, search = 0, self._searched
        while match := _LINE_END.search(buffer, search):
            # A carriage return at the very end may be half of CR LF.
            if match.group() == b"\r" and match.end() == len(buffer):
                break
            event = self._line(buffer[start : match.start()])
            if event is not None:
                events.append(event)
            start = search = match.end()
        self._rest = buffer[start:]
        self._searched = max(0, len(self._rest) - 1)
        if len(self._rest) > _LARGEST:
            raise Unavailable("the stream sent more than 16 MiB without the end of a line")
        return events

    def end(self) -> ServerEvent | None:
        """The event that the end of the stream cut off, if there is one."""
        if self._rest:
            self._line(self._rest.rstrip(b"\r"))
            self._rest = b""
        return self._dispatch()

    def _line(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._data.append(text)
        elif name == b"event":
            self._name = text
        return None

    def _dispatch(self) -> ServerEvent | None:
        event = ServerEvent(name=self._name, data="\n".join(self._data)) if self._data else None
        self._name = ""
        self._data.clear()
        return event
