"""Passing a stream of events on line by line, so that what breaks off in the middle of a line can still be told of."""

from __future__ import annotations

from typing import Final

_ENDS: Final = (b"\n", b"\r")


class WholeLines:
    """Lets whole lines through, byte for byte, and holds what follows the last of them until its end comes."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def pass_on(self, piece: bytes) -> bytes:
        """What may go on now."""
        if not self._held and piece.endswith(_ENDS):
            return piece
        end = max(piece.rfind(b"\n"), piece.rfind(b"\r")) + 1
        if not end:
            self._held += piece
            return b""
        passed = self._held + piece[:end]
        self._held = piece[end:]
        return passed

    def rest(self) -> bytes:
        """What had no end, of a stream that was whole all the same."""
        held, self._held = self._held, b""
        return held
