"""The text of a typed value, as it stands in a prompt. Nothing is escaped, and nothing is rendered a second time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeGuard

from tidemill.core.json import Json, JsonObject, dump_json


def text_of(value: Json) -> str:
    """Text as it is, nothing for null and an empty list, retrieved passages numbered, an answer's text, JSON for the rest."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Sequence) and not value:
        return ""
    if is_passages(value):
        return passages_text(value)
    if isinstance(value, Mapping) and "tool_calls" in value and isinstance(answer := value.get("text"), str):
        return answer
    return dump_json(value).decode()


def is_passages(value: Json) -> TypeGuard[Sequence[JsonObject]]:
    """Whether a value is what a retrieve step gives: objects that each hold a `document` and its `text`."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return False
    return all(isinstance(each, Mapping) and "document" in each and isinstance(each.get("text"), str) for each in value)


def passages_text(passages: Sequence[JsonObject]) -> str:
    """Numbered passages, `[1] title` and the text below, so that an answer can cite `[1]`."""
    return "\n\n".join(f"[{number}] {_title(each)}\n{each['text']}" for number, each in enumerate(passages, start=1))


def _title(passage: JsonObject) -> str:
    headings = passage.get("headings")
    if isinstance(headings, Sequence) and not isinstance(headings, str) and headings:
        return " > ".join(map(str, headings))
    return str(passage.get("document"))
