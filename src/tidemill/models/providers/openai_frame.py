"""Chunks of a stream that differ in nothing but their text, which most do: only that is read of all that follow the first."""

from __future__ import annotations

from typing import Final

from tidemill.core.chat import ChatDelta

_KEY: Final = '"content":'
_TRIES: Final = 4


class Frame:
    """What stands around the text, taken from a chunk that was read as JSON.

    Between the same characters, a text without quotes, backslashes and control characters is that text in JSON, too, and the
    chunk says what the one before said but for it. Where chunks differ in more, as with a number of their own, a few are tried.
    """

    __slots__ = ("_choice", "_fingerprint", "_head", "_least", "_left", "_model", "_tail")

    def __init__(self) -> None:
        self._head = self._tail = ""
        self._least = 0
        self._left = _TRIES
        self._choice = 0
        self._model: str | None = None
        self._fingerprint: str | None = None

    def read(self, data: str) -> ChatDelta | None:
        """The piece of a chunk that is as the one before; None for any other."""
        if not self._least or len(data) < self._least or not (data.startswith(self._head) and data.endswith(self._tail)):
            return None
        words = data[len(self._head) : len(data) - len(self._tail)]
        if not _is_plain(words):
            return None
        return ChatDelta(choice=self._choice, text=words, model=self._model, fingerprint=self._fingerprint)

    def learn(self, data: str, delta: ChatDelta) -> None:
        """Take what stands around the text of a chunk that says nothing but `delta`."""
        if not self._left or data.count(_KEY) != 1:  # within a text the quotes of a key would be escaped
            return
        self._left -= 1
        start = data.index(_KEY) + len(_KEY)
        start += data[start : start + 2].find('"') + 1
        end = start + len(delta.text)
        if data[start - 1] == '"' and data[start:end] == delta.text and data[end : end + 1] == '"' and _is_plain(delta.text):
            self._head, self._tail, self._least = data[:start], data[end:], len(data) - len(delta.text)
            self._choice, self._model, self._fingerprint = delta.choice, delta.model, delta.fingerprint


def _is_plain(words: str) -> bool:
    return words.isprintable() and '"' not in words and "\\" not in words
