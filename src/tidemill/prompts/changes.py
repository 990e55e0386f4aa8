"""What changed in a prompt: its messages word by word, and everything else by path."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence

from tidemill.core.difference import Difference, FieldChange, field_changes
from tidemill.core.json import Json, JsonObject, dump_json
from tidemill.core.words import changed_words


def prompt_difference(old: JsonObject, new: JsonObject) -> Difference:
    """A line for each message that changed, with its role when there are several; then a line a value."""
    before, after = messages_of(old), messages_of(new)
    changed = list(_message_changes(before, after))
    is_one = len(before) == len(after) == 1 and before[0][0] == after[0][0]
    lines = [_message_line(each, role=None if is_one else role) for role, each in changed]
    rest = field_changes(old, new, apart_from=("messages",))
    return Difference(
        lines=(*lines, *(each.line() for each in rest)), fields=(*(each for _, each in changed), *rest)
    )  # fmt: skip


def messages_of(spec: JsonObject) -> list[tuple[str, str]]:
    """Role and content of each message; content in parts as lines, a part that is no text as JSON."""
    messages = spec.get("messages")
    given = messages if isinstance(messages, Sequence) and not isinstance(messages, str) else ()
    return [(str(each.get("role")), _text_of(each.get("content"))) for each in given if isinstance(each, Mapping)]


def _text_of(content: Json) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        return "\n".join(_text_of(each) for each in content)
    if isinstance(content, Mapping) and content.get("type") == "text" and isinstance(content.get("text"), str):
        return str(content["text"])
    return dump_json(content).decode()


def _message_changes(old: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]]) -> Iterator[tuple[str, FieldChange]]:
    """Messages that both have stand still; between them, those of one role are the same message, changed."""
    for tag, a1, a2, b1, b2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        waiting = list(range(a1, a2))
        for at in range(b1, b2):
            role, text = new[at]
            same = next((each for each in waiting if old[each][0] == role), None)
            path = f"messages.{at}.content"
            if same is None:
                yield role, FieldChange(path=path, effect="add", after=text)
            else:
                waiting.remove(same)
                yield role, FieldChange(path=path, effect="change", before=old[same][1], after=text)
        for at in waiting:
            yield old[at][0], FieldChange(path=f"messages.{at}.content", effect="remove", before=old[at][1])


def _message_line(change: FieldChange, *, role: str | None) -> str:
    words = changed_words(str(change.before or ""), str(change.after or ""))
    return words if role is None else f"{role}: {words}"
