"""Marks by which Anthropic keeps the beginning of a prompt: what the next request has too is read at a tenth of the price.

A mark keeps everything up to its block: tools, then the system's text, then the turns. It is placed where the next request is
likely to be the same so far, and only behind enough text to be kept at all (docs.anthropic.com, "Prompt caching").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from tidemill.core.json import Json, JsonObject, dump_json

_MARK: Final[JsonObject] = {"type": "ephemeral"}
_MOST: Final = 4
_SHORTEST: Final = 4 * 1024  # characters; models keep nothing below 1024 tokens, some nothing below 4096
_UNMARKED: Final = frozenset({"thinking", "redacted_thinking"})


def with_marks(body: JsonObject) -> JsonObject:
    """The body of a request with marks on its tools, its system text, and its last two turns of the user, where those are long.

    One that has a mark already is left as its author wrote it.
    """
    written = dump_json(body)
    if len(written) < _SHORTEST or b'"cache_control"' in written:
        return body
    marked: dict[str, Json] = dict(body)
    length, left = 0, _MOST
    tools = cast("Sequence[JsonObject]", body.get("tools") or ())
    length += len(dump_json(tools)) if tools else 0
    if tools and length >= _SHORTEST and "type" not in tools[-1]:
        marked["tools"] = [*tools[:-1], {**tools[-1], "cache_control": _MARK}]
        left -= 1
    system = body.get("system")
    if system:
        blocks = [{"type": "text", "text": system}] if isinstance(system, str) else list(cast("Sequence[JsonObject]", system))
        length += len(dump_json(blocks))
        if length >= _SHORTEST:
            marked["system"] = [*blocks[:-1], {**blocks[-1], "cache_control": _MARK}]
            left -= 1
    marked["messages"] = _turns(cast("Sequence[JsonObject]", body["messages"]), length, left)
    return marked


def _turns(turns: Sequence[JsonObject], length: int, left: int) -> list[Json]:
    """The last turn of the user is what the next request goes on from, the one before what this one went on from."""
    lengths: list[int] = []
    for each in turns:
        length += len(dump_json(each))
        lengths.append(length)
    found = list[Any](turns)
    asked = [place for place, each in enumerate(turns) if each.get("role") == "user"]
    if len(asked) < 2:  # a single question: what stands before it is marked, and it will be another one
        return found
    for place in asked[: -1 - min(2, left) : -1]:
        if lengths[place] >= _SHORTEST:
            found[place] = _marked(turns[place])
    return found


def _marked(turn: JsonObject) -> JsonObject:
    content = turn.get("content")
    if not isinstance(content, Sequence) or isinstance(content, str) or not content:
        return turn
    last = content[-1]
    if not isinstance(last, Mapping) or last.get("type") in _UNMARKED:
        return turn
    return {**turn, "content": [*content[:-1], {**last, "cache_control": _MARK}]}
