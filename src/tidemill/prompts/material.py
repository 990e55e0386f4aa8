"""Prompts and declared variables as a document says them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.core.json import Json, JsonObject
from tidemill.prompts.variables import from_spec


def prompt_body(spec: JsonObject, *, current: JsonObject | None) -> JsonObject:
    """A prompt's body: `text` where one message of the user's is all, unless it is written as messages."""
    body = {key: value for key, value in spec.items() if key != "variables"}
    text = _only_text(spec.get("messages"))
    if text is not None and (current is None or "text" in current):
        body = {"text": text, **{key: value for key, value in body.items() if key != "messages"}}
    body["variables"] = variables_body(spec.get("variables"))
    return body


def variables_body(declared: Json) -> JsonObject:
    """`{name: type}`, or `{name: {type, …}}` for one that says more."""
    found: dict[str, Json] = {}
    for each in from_spec(declared):
        rest = {key: value for key, value in each.as_json().items() if key != "name"}
        found[each.name] = each.type if set(rest) == {"type"} else rest
    return found


def _only_text(messages: Json) -> str | None:
    if not isinstance(messages, Sequence) or isinstance(messages, str) or len(messages) != 1:
        return None
    only = messages[0]
    content = only.get("content") if isinstance(only, Mapping) and only.get("role") == "user" else None
    return content if isinstance(content, str) and content else None
