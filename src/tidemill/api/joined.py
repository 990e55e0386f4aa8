"""A transport whose writes of one turn of the event loop go out as one.

The head of an answer and its body are written one after the other: as two they cost a system call more and wake the reader
twice.
"""

from __future__ import annotations

import asyncio
from typing import Any


class Joined(asyncio.Transport):
    """Around another transport."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Take what is to go out, with all else that comes in this turn."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(bytes(data))
        self._size += len(data)

    def _flush(self) -> None:
        held, self._held, self._size = self._held, [], 0
        if len(held) == 1:
            self._transport.write(held[0])
        elif held:
            self._transport.write(b"".join(held))

    def close(self) -> None:
        """Write what waits, then close."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what waits is dropped."""
        self._held, self._size = [], 0
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether nothing more may be written."""
        return self._transport.is_closing()

    def get_write_buffer_size(self) -> int:
        """Bytes that wait."""
        return self._size + self._transport.get_write_buffer_size()

    def get_extra_info(self, name: str, default: object = None) -> Any:
        """What is known of the connection."""
        return self._transport.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """From when on writing is paused."""
        self._transport.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        """Take nothing in."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take in again."""
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        """Whether anything is taken in."""
        return self._transport.is_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who is told from now on."""
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told."""
        return self._transport.get_protocol()
