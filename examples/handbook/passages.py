"""Keeps the best passages that a small prompt has room for."""

from __future__ import annotations

ROOM = 1100
"""Characters: about 300 tokens of this text, which leaves room for the question and the instructions."""


def first_passages(passages: list[dict[str, object]]) -> str:
    """The best passages, numbered, until the room is used up; the last one is cut."""
    left, kept = ROOM, []
    for number, passage in enumerate(passages, start=1):
        text = f"[{number}] {passage['document']}: {passage['text']}"[:left]
        kept.append(text)
        left -= len(text)
        if left < 100:
            break
    return "\n\n".join(kept)
