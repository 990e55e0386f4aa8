"""Server-sent events, read from bytes as they arrive.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream, with one difference: an event that the
end of the stream cut off is still handed out by `end`, because some servers leave the last blank line away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import msgspec

from tidemill.core.errors import Unavailable

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_LARGEST = 16 * 1024 * 1024


class ServerEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event: its name (empty when none was given) and its data."""

    name: str = ""
    data: str


@dataclass(kw_only=True, slots=True)
class EventReader:
    """Takes bytes in pieces of any size, cut also within a character or a line end, and gives the events they complete."""

    _held: list[bytes] = field(default_factory=list[bytes])
    _size: int = 0
    _gathered: int = 0
    _began: bool = False
    _name: str = ""
    _data: list[str] = field(default_factory=list[str])

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """The events that `piece` completes. Raises `Unavailable` for one of more than 16 MiB."""
        if not self._held and not self._data and not self._name and (plain := _plain(piece)):
            self._began = True
            return plain
        if self._began and b"\n" not in piece and b"\r" not in piece and not (self._held and self._held[-1].endswith(b"\r")):
            self._hold(piece)  # what has no end yet is put together once, however many pieces it comes in
            return []
        buffer, search = piece, 0
        if self._held:
            buffer, search = b"".join((*self._held, piece)), max(0, self._size - 1)
        if not self._began:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._held, self._size = [buffer], len(buffer)
                return []
            buffer, search = buffer.removeprefix(_BOM), 0
            self._began = True
        return self._lines(buffer, search)

    def _hold(self, piece: bytes) -> None:
        self._held.append(piece)
        self._size += len(piece)
        self._check()

    def _check(self) -> None:
        if self._size + self._gathered > _LARGEST:
            raise Unavailable("the stream sent more than 16 MiB without the end of an event", kind="server")

    def _lines(self, buffer: bytes, search: int) -> list[ServerEvent]:
        events: list[ServerEvent] = []
        start = 0
        while match := _LINE_END.search(buffer, search):
            # A carriage return at the very end may be half of CR LF.
            if match.group() == b"\r" and match.end() == len(buffer):
                break
            event = self._line(buffer[start : match.start()])
            if event is not None:
                events.append(event)
            start = search = match.end()
        if self._held:
            self._held, self._size = [], 0
        if start < len(buffer):
            self._hold(buffer[start:])
        return events

    def end(self) -> ServerEvent | None:
        """The event that the end of the stream cut off, if there is one."""
        rest = b"".join(self._held)
        if rest:
            self._line(rest.rstrip(b"\r"))
            self._held, self._size = [], 0
        return self._dispatch()

    def _line(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._data.append(text)
            self._gathered += len(value)
            self._check()
        elif name == b"event":
            self._name = text
        return None

    def _dispatch(self) -> ServerEvent | None:
        event = ServerEvent(name=self._name, data="\n".join(self._data)) if self._data else None
        self._name = ""
        self._gathered = 0
        self._data.clear()
        return event


def _plain(piece: bytes) -> list[ServerEvent] | None:
    """The events of a piece that is whole and what most are: `data: …` and an empty line, again and again."""
    if not piece.endswith(b"\n\n") or len(piece) > _LARGEST or b"\r" in piece:
        return None
    events: list[ServerEvent] = []
    for block in piece[:-2].split(b"\n\n"):
        if not block.startswith(b"data: ") or b"\n" in block:
            return None
        events.append(ServerEvent(data=block[6:].decode("utf-8", "replace")))
    return events
