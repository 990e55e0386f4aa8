"""LangSmith: runs of LangChain, LangGraph and `@traceable` as its SDK sends them over OpenTelemetry.

https://docs.smith.langchain.com/observability/how_to_guides/trace_with_opentelemetry
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry.dialects.dialect import At, Dialect, Happened, Whole, at
from tidemill.telemetry.dialects.documents import read_documents
from tidemill.telemetry.dialects.events import since_start
from tidemill.telemetry.dialects.handoffs import handed_to
from tidemill.telemetry.dialects.values import Reader, anything, count, inside, is_list, is_object, one_of, text, unpacked
from tidemill.telemetry.otlp.raw import RawEvent, RawSpan

_KIND: Final = "langsmith.span.kind"
_META: Final = "langsmith.metadata."
_KINDS: Final = {
    "llm": "llm", "chain": "chain", "tool": "tool", "retriever": "retriever", "embedding": "embedding", "prompt": "chain",
    "parser": "chain", "agent": "agent", "guardrail": "guardrail", "evaluator": "evaluator",
}  # fmt: skip
_PROMPT: Final = "gen_ai.prompt"
_COMPLETION: Final = "gen_ai.completion"
_USAGE: Final = _META + "usage_metadata"
_PARAMETERS: Final = "langsmith.span.invocation_params"  # as exports have them
_TOOL_MESSAGE: Final = frozenset({"type", "content", "name", "tool_call_id", "id", "status"})


def _only(value: Json, key: str) -> Json:
    """What a run's one value was wrapped in."""
    found = anything(value)
    return found[key] if is_object(found) and len(found) == 1 and key in found else found


def _given(span: RawSpan) -> Json:
    value = span.attributes.get(_PROMPT)
    return anything(_only(value, "input")) if span.attributes.get(_KIND) == "tool" else anything(value)


def _answer(span: RawSpan) -> Json:
    found = anything(_only(span.attributes.get(_COMPLETION), "output"))
    if span.attributes.get(_KIND) == "retriever":
        return read_documents(found) or found
    return _content(found) if span.attributes.get(_KIND) == "tool" else found


def _content(found: Json) -> Json:
    """What a tool answered, out of the message that LangChain makes of it when that says nothing more."""
    if not is_object(found) or found.get("type") != "tool" or "content" not in found:
        return found
    more = {key for key, each in found.items() if each not in (None, "", {}, "success")} - _TOOL_MESSAGE
    return found if more else anything(found["content"])


def _call_id(value: Json) -> str | None:
    found = _only(value, "output")
    return text(found.get("tool_call_id")) if is_object(found) else None


def _reasons(value: Json) -> tuple[str, ...] | None:
    """Why each generation ended."""
    found = unpacked(value)
    listed = found.get("generations") if is_object(found) else None
    first = listed[0] if is_list(listed) and listed else None
    inner = [each.get("generation_info") for each in first if is_object(each)] if is_list(first) else []
    said = [text(each.get("finish_reason")) for each in inner if is_object(each)]
    return tuple(each for each in said if each) or None


def _details(side: str, *names: str) -> tuple[At, ...]:
    def one(name: str) -> Reader:
        return inside(name, reader=count)

    return tuple(
        each
        for name in names
        for each in (
            At(_USAGE, inside(f"{side}_token_details", reader=one(name))),
            At(f"gen_ai.usage.{side}_token_details", one(name)),
        )
    )


def _tags(value: Json) -> tuple[str, ...] | None:
    """Tags, which are sent as one text with commas; those that LangGraph makes for its steps are not the user's."""
    found = unpacked(value)
    said = [each for each in found if isinstance(each, str)] if is_list(found) else str(found).split(",")
    kept = [tag for each in said if (tag := each.strip()) and not tag.startswith(("seq:step:", "graph:step:"))]
    return tuple(dict.fromkeys(kept)) or None


def _failure(events: Sequence[RawEvent], span: RawSpan) -> str | None:
    """The error without the traceback that is sent behind it."""
    if span.status != "error":
        return None
    said = text(events[-1].attributes.get("exception.message")) or ""
    return said.partition("Traceback (most recent call last)")[0].strip() or None


DIALECT: Final = Dialect(
    name="langsmith",
    scopes=("langsmith",),
    keys=("langsmith.",),
    rank=45,
    fields={
        "kind": (At(_KIND, one_of(_KINDS)),),
        "input": (Whole(_given, (_PROMPT,), moves=True),),
        "output": (Whole(_answer, (_COMPLETION,), moves=True),),
        "tools": (*at("gen_ai.tool.definitions"), At(_PARAMETERS, inside("tools", reader=anything))),
        "parameters": (_PARAMETERS,),
        "cost": ("langsmith.total_cost",),
        "model": ("gen_ai.request.model", _META + "ls_model_name", "gen_ai.response.model"),
        "provider": (_META + "ls_provider", At("gen_ai.system", lambda value: None if value == "langchain" else text(value))),
        "input_tokens": ("gen_ai.usage.input_tokens", At(_USAGE, inside("input_tokens", reader=count))),
        "output_tokens": ("gen_ai.usage.output_tokens", At(_USAGE, inside("output_tokens", reader=count))),
        "cached_tokens": _details("input", "cache_read"),
        "cache_write_tokens": _details("input", "cache_creation"),
        "audio_input_tokens": _details("input", "audio"),
        "reasoning_tokens": _details("output", "reasoning"),
        "audio_output_tokens": _details("output", "audio"),
        "first_token_ns": (Happened(frozenset({"new_token"}), since_start),),
        "session": tuple(_META + each for each in ("session_id", "thread_id", "conversation_id")),
        "user": (_META + "user_id", _META + "ls_user_id"),
        "tags": (At("langsmith.span.tags", _tags),),
        "step": (_META + "langgraph_node",),
        "finish_reasons": ("gen_ai.response.finish_reasons", At(_COMPLETION, _reasons)),
        "gen_ai.tool.call.id": (At(_COMPLETION, _call_id),),
        "error": (Happened(frozenset({"exception"}), _failure),),
        "gen_ai.request.temperature": (_META + "ls_temperature",),
        "gen_ai.request.max_tokens": (_META + "ls_max_tokens",),
        "gen_ai.request.stop_sequences": (_META + "ls_stop",),
        "tidemill.handoff.to": (handed_to(),),
    },
)  # fmt: skip
