"""What a request of one dialect cannot say to a provider of another: refused where it would change the answer, else left out.

Everything that has a name in `ChatRequest` crosses; a provider says by `writes` in which dialect it asks. What is here is the
rest, by the dialect that has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from tidemill.core.chat import ChatRequest, Dialect
from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import JsonObject
from tidemill.core.parts import Message, Other


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """A field of a request that only its own dialect has. `changes`: without it, the answer would be another one."""

    field: str
    what: str
    changes: bool = False


def _changes(**fields: str) -> tuple[Loss, ...]:
    return tuple(Loss(field=name, what=what, changes=True) for name, what in fields.items())


def _hints(**fields: str) -> tuple[Loss, ...]:
    return tuple(Loss(field=name, what=what) for name, what in fields.items())


LOSSES: Final[Mapping[Dialect, tuple[Loss, ...]]] = {
    "anthropic.messages": (
        *_changes(
            tools="tools that the provider runs by itself, such as web_search_20250305",
            container="the container in which code runs",
            context_management="edits of the conversation by the provider",
            mcp_servers="MCP servers that the provider calls",
            inference_geo="where the model may run",
            citations="passages of documents that the answer cites",
            context="what a document is about, beside its text",
        ),
        *_hints(
            thinking="its budget in tokens; it crosses as reasoning_effort (low up to 1,024, medium up to 8,192, else high)",
            cache_control="what is to be kept in the provider's prompt cache",
            output_config="what it says besides effort and format",
            service_tier="how urgent the request is",
            speed="how quickly tokens come",
            strict="that a tool's arguments keep to its schema",
            diagnostics="what is to be told of the prompt cache",
            betas="features that are tried out; they pass to a provider of this dialect as a header too",
        ),
    ),
    "openai.responses": (
        *_changes(
            tools="tools that the provider runs by itself, such as web_search",
            tool_choice="allowed tools, and the choice of a tool that the provider runs",
            context_management="edits of the conversation by the provider",
            moderation="what is to be blocked by the provider",
        ),
        *_hints(
            include="what else is to be shown; log probabilities cross",
            reasoning="what it says besides effort, such as summary",
            text="the name and the strictness of a schema; the schema and verbosity cross",
            truncation="whether a conversation that is too long is cut",
            max_tool_calls="how often tools that the provider runs may be called",
            service_tier="how urgent the request is",
            safety_identifier="who asks, for the provider's own checks",
            prompt_cache_key="what is to be kept in the provider's prompt cache, as prompt_cache_retention and _options",
            detail="how closely a picture is looked at; it crosses to chat completions",
            strict="that a tool's arguments keep to its schema; it crosses to chat completions",
        ),
    ),
    "openai.chat": (
        *_changes(
            tools="tools that are no functions, such as custom ones",
            tool_choice="allowed tools, and the choice of a tool that is no function",
            type="that a call was of a custom tool, whose input is text and no JSON",
            web_search_options="a search by the provider",
            functions="tools in the form before tools",
            moderation="what is to be blocked by the provider",
        ),
        *_hints(
            store="that the provider keeps the answer",
            metadata="what the provider keeps beside the answer",
            prediction="what the answer will mostly be",
            service_tier="how urgent the request is",
            safety_identifier="who asks, for the provider's own checks",
            prompt_cache_key="what is to be kept in the provider's prompt cache, as prompt_cache_retention and _options",
            detail="how closely a picture is looked at",
            strict="that a tool's arguments, or an answer, keep to the schema",
            name="who of several speaks in a message",
        ),
    ),
}
"""By dialect; a field that is not listed is a hint."""

_CHANGING: Final[Mapping[str, Mapping[str, str]]] = {
    dialect: {each.field: each.what for each in losses if each.changes} for dialect, losses in LOSSES.items()
}


def crossing(request: ChatRequest, *, writes: str | None, provider: str) -> ChatRequest:
    """The request as a provider that asks in the dialect `writes` can say it; what it cannot hint at is left out by itself.

    Raises `Invalid` with every field that would change the answer, unless the model says `unsupported: drop`.
    """
    lost = [*_lost_fields(request, writes), *_lost_parts(request.messages, writes)]
    if not lost:
        return request
    options = request.params.get("provider_options")
    if not (isinstance(options, Mapping) and options.get("unsupported") == "drop"):
        problems = [Problem(message=f"{provider} has no {what}", where=where) for where, what in lost]
        hint = "Leave it out, name a model whose provider speaks the dialect, or write unsupported: drop in the model."
        raise Invalid(problems[0].message, where=problems[0].where, hint=hint, problems=problems[1:], kind="invalid")
    return replace(request, messages=_without_others(request.messages, writes))


def _lost_fields(request: ChatRequest, writes: str | None) -> Iterator[tuple[str, str]]:
    for name, what in _foreign(request.extra, writes):
        yield name, what
    for tool in request.tools:
        if tool.extra:
            for name, what in _foreign(tool.extra, writes):
                yield f"tools.{tool.name}.{name}", what


def _lost_parts(messages: Sequence[Message], writes: str | None) -> Iterator[tuple[str, str]]:
    for index, message in enumerate(messages):
        for part in message.parts:
            if isinstance(part, Other):
                if part.dialect != writes:
                    yield f"messages[{index}]", f"content of type {part.value.get('type')}"
            elif part.extra:
                for _, what in _foreign(part.extra, writes):
                    yield f"messages[{index}]", what


def _foreign(extra: JsonObject, writes: str | None) -> Iterator[tuple[str, str]]:
    """The fields of other dialects that would change the answer, and are not said in this one as well: name and meaning."""
    for dialect, fields in extra.items():
        changing = _CHANGING.get(dialect)
        if dialect == writes or changing is None or not isinstance(fields, Mapping):
            continue
        here = extra.get(writes) if writes else None
        for name in fields:
            if name in changing and not (isinstance(here, Mapping) and name in here):
                yield name, f"{name}: {changing[name]}"


def _without_others(messages: Sequence[Message], writes: str | None) -> tuple[Message, ...]:
    kept: list[Message] = []
    for message in messages:
        parts = tuple(part for part in message.parts if not isinstance(part, Other) or part.dialect == writes)
        if parts:
            kept.append(message if len(parts) == len(message.parts) else replace(message, parts=parts))
    return tuple(kept)
