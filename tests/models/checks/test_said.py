"""What of a request is text, in our own form and in that of a dialect."""

from __future__ import annotations

import base64

from tidemill.core.chat import ChatRequest, ToolDefinition
from tidemill.core.parts import File, Image, Message, Other, Reasoning, Text, ToolCall, ToolResult
from tidemill.models.checks.said import in_fields, in_request

NAME = "anthropic.messages"


def seen(walk):
    """Everything that is shown, with who says it."""
    found = []

    def see(role, texts):
        found.append((role, "".join(texts)))
        return texts

    walk(see)
    return found


def upper(role, texts):
    return [each.upper() for each in texts]


REQUEST = ChatRequest(
    model="m",
    messages=(
        Message.of("system", "be kind"),
        Message(role="user", parts=(Text(text="one "), Text(text="two"), Image(media_type="image/png", data="aGk="))),
        Message(
            role="assistant",
            parts=(
                Reasoning(text="thought", signature="s"),
                ToolCall(id="c", name="f", arguments='{"id":"inner","deep":[{"x":"more"}]}'),
                ToolCall(id="d", name="f", arguments="{broken"),
            ),
        ),
        Message(role="tool", parts=(ToolResult(id="c", content="result"),)),
        Message(
            role="user",
            parts=(
                File(media_type="text/plain", data=base64.b64encode(b"a letter").decode()),
                Other(
                    dialect=NAME,
                    value={"type": "search_result", "source": "where", "content": [{"type": "text", "text": "hit"}]},
                ),
            ),
        ),
    ),
    tools=(ToolDefinition(name="f", description="what for", parameters={"properties": {"id": {"description": "which"}}}),),
    output_schema={"type": "object", "title": "shape"},
    extra={"openai.chat": {"prediction": {"type": "content", "content": "guess"}, "metadata": {"a": "aside"}}},
)


def test_every_text_is_shown_with_who_says_it():
    assert seen(lambda see: in_request(REQUEST, see)) == [
        ("system", "be kind"), ("user", "one two"), ("assistant", "thought"), ("assistant", "inner"), ("assistant", "more"),
        ("assistant", "{broken"), ("tool", "result"), ("user", "a letter"), ("user", "where"), ("user", "hit"),
        ("system", "what for"), ("system", "which"), ("user", "guess"), ("system", "shape"),
    ]  # fmt: skip


def test_what_does_not_change_is_the_same_object_and_what_changes_is_all_that_does():
    assert in_request(REQUEST, lambda _, texts: texts) is REQUEST
    changed = in_request(REQUEST, upper)
    assert [each.text for each in changed.messages[:2]] == ["BE KIND", "ONE TWO"]
    thought, call, broken = changed.messages[2].parts
    assert (thought.text, thought.signature) == ("THOUGHT", None)
    assert (call.name, call.arguments) == ("f", '{"id":"INNER","deep":[{"x":"MORE"}]}')
    assert broken.arguments == "{BROKEN"
    assert changed.messages[3].parts[0].content == "RESULT"
    letter, other = changed.messages[4].parts
    assert base64.b64decode(letter.data) == b"A LETTER"
    assert other.value == {"type": "search_result", "source": "WHERE", "content": [{"type": "text", "text": "HIT"}]}
    assert changed.messages[1].parts[2] is REQUEST.messages[1].parts[2]
    assert changed.extra["openai.chat"]["metadata"] == {"a": "aside"}


def test_a_dialects_own_json_is_read_but_for_names_and_bytes():
    fields = {
        "model": "m", "stop": ["x"], "system": [{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": "data: plain"},
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a":"\\u0061bc"}'}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t", "content": "result"},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"id": "inner", "type": "kind"}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
            ]},
        ],
    }  # fmt: skip
    assert seen(lambda see: in_fields(fields, see)) == [
        ("user", "be kind"), ("user", "data: plain"), ("assistant", "abc"), ("tool", "result"), ("user", "inner"),
        ("user", "kind"),
    ]  # fmt: skip
    assert in_fields(fields, lambda _, texts: texts) is fields
    assert in_fields(fields, upper)["messages"][0]["content"] == "DATA: PLAIN"
    assert in_fields(fields, upper)["model"] == "m"
