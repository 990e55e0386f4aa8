"""Messages, whoever wrote them, as `{"role", "content", "tool_calls"?, "tool_call_id"?, "name"?}`.

Understood: OpenAI's chat and responses, OpenTelemetry's parts and its events, Anthropic's blocks, Google's contents,
LangChain's (also serialised), Vercel's, Haystack's, Pydantic AI's, OpenInference's. What is not understood in a message stays
in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from tidemill.core.json import Json
from tidemill.telemetry.dialects.parts import WORDS, Part, merged, read_call, read_parts, take, take_text, with_rest
from tidemill.telemetry.dialects.values import is_list, is_object, unpacked

Message: TypeAlias = dict[str, Json]

ROLES: Final[Mapping[str, str]] = {
    **{each: each for each in ("system", "user", "assistant", "tool")},
    "developer": "system", "human": "user", "ai": "assistant", "model": "assistant", "bot": "assistant", "function": "tool",
    "AIMessageChunk": "assistant", "HumanMessage": "user", "AIMessage": "assistant", "SystemMessage": "system",
    "ToolMessage": "tool", "chatbot": "assistant", "gen_ai.system.message": "system", "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant", "gen_ai.tool.message": "tool", "gen_ai.choice": "assistant",
}  # fmt: skip
_ITEMS: Final = {"function_call": "assistant", "reasoning": "assistant", "function_call_output": "tool"}
_INSIDE: Final = (
    "messages", "prompt_messages", "contents", "new_messages", "input", "history", "choices", "candidates", "generations",
    "output", "new_message",
)  # fmt: skip
_SAID: Final = ("prompt", "text", "content", "completion", "output_text", "response")
_DEEPEST: Final = 6

_GENERATIONS: Final = ("ChatGeneration", "ChatGenerationChunk", "Generation")
_MODULES: Final = ("langchain", "langchain_core", "schema", "messages")  # where LangChain's classes lie
WORDS_OF_FORMS: Final = WORDS | {*ROLES, *_ITEMS, *_GENERATIONS, *_MODULES, "message", "constructor"}
"""Words of a message's form, which our form says otherwise: all else that is in a message is kept."""


def read_messages(value: Json) -> list[Message] | None:
    """A message or a list of them, also as JSON in a text; None when anything of it is no message."""
    return _listed(unpacked(value), 0)


def said_by(role: str) -> _Said:
    """A reader: messages; and what is no message but a text, or parts, is one message by `role`."""
    return _Said(role)


class _Said:
    """See `said_by`."""

    __slots__ = ("_role",)

    def __init__(self, role: str) -> None:
        self._role = role

    def __call__(self, value: Json) -> list[Message] | None:
        found = unpacked(value)
        if isinstance(found, str):
            return [{"role": self._role, "content": found}] if found else None
        made = _listed(found, 0)
        if made is not None:
            return made
        if is_list(found) and (parts := read_parts(found)):
            return [_composed({"role": self._role}, parts, [])]
        if is_object(found):
            name = next((each for each in _SAID if isinstance(found.get(each), str)), None)
            rest = {key: each for key, each in found.items() if key != name}
            return None if name is None else [with_rest({"role": self._role, "content": found[name]}, rest)]
        return None


def read_conversation(value: Json, *, role: str) -> Message | None:
    """What was asked or answered, as `{"messages": [...]}` and all else that was said beside them (a model, parameters).

    A text is one message by `role`. None for what holds no messages.
    """
    found = unpacked(value)
    if isinstance(found, str):
        return {"messages": [{"role": role, "content": found}]} if found else None
    made = read_messages(found)
    if made is not None:
        return {"messages": made} if made else None
    if not is_object(found):
        return None
    for name in _INSIDE:
        if name in found and (inside := _listed(found[name], 0) or _prompt(name, found[name], role)):
            return with_rest({"messages": inside}, {key: each for key, each in found.items() if key != name})
    return _text_inside(found, role)


def _prompt(name: str, value: Json, role: str) -> list[Message] | None:
    return [{"role": role, "content": value}] if name == "input" and isinstance(value, str) and value else None


def _text_inside(found: Mapping[str, Json], role: str) -> Message | None:
    for name in _SAID:
        value = found.get(name)
        if isinstance(value, str) and value:
            rest = {key: each for key, each in found.items() if key != name}
            return with_rest({"messages": [{"role": role, "content": value}]}, rest)
    return None


def _listed(value: Json, depth: int) -> list[Message] | None:
    if is_object(value):
        made = read_message(value)
        return None if made is None else [made]
    if not is_list(value) or depth > _DEEPEST:
        return None
    messages: list[Message] = []
    for each in value:
        if is_object(each):
            made = read_message(each)
            if made is None:
                return None
            messages.append(made)
        else:
            inner = _listed(unpacked(each), depth + 1)
            if inner is None:
                return None
            messages += inner
    return messages


def _plain(value: Mapping[str, Json]) -> Message | None:
    """What most messages are: a known role and one text, at most with the reason why it ended."""
    if len(value) == 1 and is_object(inner := value.get("message")):
        value = inner
    size, role = len(value), value.get("role")
    if not isinstance(role, str) or role not in ROLES:
        return None
    reason = value.get("finish_reason")
    if size != (2 if reason is None else 3):
        return None
    content = value.get("content")
    if content is None and is_list(parts := value.get("parts")) and len(parts) == 1 and is_object(only := parts[0]):
        content = only.get("content") if len(only) == 2 and only.get("type") == "text" else None
    if not isinstance(content, str) or content[:1] == "[":
        return None
    made: Message = {"role": ROLES[role], "content": content}
    if reason is not None:
        made["finish_reason"] = reason
    return made


def read_message(value: Mapping[str, Json]) -> Message | None:
    """One message in our form; None for an object that is none."""
    plain = _plain(value)
    return _read_message(value) if plain is None else plain


def _read_message(value: Mapping[str, Json]) -> Message | None:
    rest = _opened(value)
    role = _role(rest)
    if role is None:
        return None
    kind = rest.get("type")
    if isinstance(kind, str) and ((kind in _ITEMS and "content" not in rest) or kind == "reasoning"):
        return _item(role, kind, rest)
    head: Message = {"role": role}
    if isinstance(kind, str) and (kind == "message" or kind in ROLES):
        del rest["type"]
    content, parts = _content(rest)
    calls = _calls(rest)
    if content is not None and parts is None:
        rest["content"] = content  # no form that is known: it stays as it came
    if (call_id := take_text(rest, "tool_call_id", "tool_use_id")) is not None:
        head["tool_call_id"] = call_id
    elif role == "tool" and isinstance(rest.get("id"), str):
        head["tool_call_id"] = rest.pop("id")
    if (reasoning := take(rest, "reasoning_content")) is not None:
        thought: Part = {"type": "reasoning", "text": reasoning}
        parts = [thought, *(parts or [])]
    made = _composed(head, parts or [], calls)
    if "text" in rest and rest["text"] == made["content"]:
        del rest["text"]  # LangChain says it beside the message once more
    return with_rest(made, rest)


def _opened(value: Mapping[str, Json]) -> Message:
    """The message out of what it is wrapped in: a choice, an event, a serialised object."""
    rest = dict(value)
    if rest.get("type") in _GENERATIONS:
        del rest["type"]
    for name in ("message", "kwargs", "new_message"):
        inner = rest.get(name)
        if not is_object(inner) or (name == "kwargs" and rest.get("type") != "constructor"):
            continue
        del rest[name]
        if name == "kwargs":
            rest = _deserialised(rest)
        rest = merged(rest, inner)
    inner = rest.get("content")
    if "role" not in rest and is_object(inner) and "role" in inner:  # a candidate of Google's
        del rest["content"]
        rest = merged(rest, inner)
    if isinstance(named := rest.get("event.name"), str) and named in ROLES:
        del rest["event.name"]
        if not isinstance(rest.get("role"), str):
            rest = merged(rest, {"role": ROLES[named]})
    return rest


def _deserialised(rest: Message) -> Message:
    named = rest.get("id")
    if is_list(named) and named and isinstance(named[-1], str):
        kind = named[-1].removesuffix("Chunk")
        if kind in ROLES:
            return {"type": kind, **{key: each for key, each in rest.items() if key not in ("lc", "type", "id")}}
    return rest


def _role(rest: Message) -> str | None:
    """The role, taken out of what is left."""
    for name in ("role", "_role"):
        given = rest.get(name)
        if isinstance(given, str) and given:
            del rest[name]
            return ROLES.get(given) or ROLES.get(given.lower()) or given
        if is_object(given) and len(given) == 1 and isinstance(inner := given.get("value"), str):
            rest.pop(name)
            return ROLES.get(inner, inner)
    kind = rest.get("type")
    if not isinstance(kind, str):
        return None
    return ROLES[kind] if kind in ROLES and ("content" in rest or "tool_calls" in rest) else _ITEMS.get(kind)


def _item(role: str, kind: str, rest: Message) -> Message:
    """An item of OpenAI's Responses: a call, its result, or reasoning, each beside the messages."""
    if kind == "function_call":
        return {"role": role, "content": "", "tool_calls": [read_call(rest)]}
    if kind == "function_call_output":
        call_id = take_text(rest, "call_id") or ""
        del rest["type"]
        return with_rest({"role": role, "content": take(rest, "output"), "tool_call_id": call_id}, rest)
    del rest["type"]
    name = "summary" if rest.get("summary") else "content"
    parts = read_parts(rest.get(name)) or []
    if parts:
        del rest[name]
    thoughts: list[Part] = [{**each, "type": "reasoning"} for each in parts]
    return with_rest({"role": role, "content": thoughts}, rest)


def _content(rest: Message) -> tuple[Json, list[Part] | None]:
    for name in ("content", "contents", "parts", "_content"):
        if name not in rest:
            continue
        value = rest[name]
        if value is None or (is_list(value) and not value and len(rest) > 1):
            del rest[name]
            continue
        del rest[name]
        return value, read_parts(value)
    return None, None


def _calls(rest: Message) -> list[Part]:
    kwargs = rest.get("additional_kwargs")  # where LangChain keeps what its provider said
    if is_object(kwargs) and "tool_calls" in kwargs and not rest.get("tool_calls"):
        rest["tool_calls"] = kwargs["tool_calls"]
        rest["additional_kwargs"] = {key: each for key, each in kwargs.items() if key != "tool_calls"} or None
    found = rest.get("tool_calls")
    if is_object(found) and "name" not in found and "function" not in found:
        found = list(found.values())  # indexes as keys
    if is_object(found):
        found = [found]
    calls: list[Part] = []
    if is_list(found) and all(is_object(each) for each in found):
        del rest["tool_calls"]
        calls = [read_call(each) for each in found if is_object(each)]
    elif "tool_calls" in rest and rest["tool_calls"] is None:
        del rest["tool_calls"]
    if is_object(one := rest.get("function_call")):
        del rest["function_call"]
        calls.append(read_call(one))
    if isinstance(name := rest.get("function_call_name"), str):
        del rest["function_call_name"]
        calls.append(read_call({"name": name, "arguments": rest.pop("function_call_arguments_json", None)}))
    return calls


def _composed(head: Message, parts: Sequence[Part], calls: list[Part]) -> Message:
    kept: list[Part] = []
    for each in parts:
        if each.get("type") == "tool_call":
            calls.append({key: value for key, value in each.items() if key != "type"})
        else:
            kept.append(each)
    if len(kept) == 1:
        only = kept[0]
        if only.keys() == {"type", "text"} and only["type"] == "text":
            head["content"] = only["text"]
        elif head.get("role") == "tool" and only.get("type") == "tool_result" and "tool_call_id" not in head:
            head |= {"content": only.get("content"), "tool_call_id": only.get("id")}
            head = with_rest(head, {key: each for key, each in only.items() if key not in ("type", "content", "id")})
        else:
            head["content"] = kept
    else:
        head["content"] = kept or ""
    if calls:
        head["tool_calls"] = calls
    return head
