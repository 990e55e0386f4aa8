"""MLflow's tracing: attributes whose values are JSON in a text, texts themselves included.

https://mlflow.org/docs/latest/genai/tracing/
"""

from __future__ import annotations

from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry.dialects.dialect import At, Dialect, Happened, at
from tidemill.telemetry.dialects.documents import read_documents
from tidemill.telemetry.dialects.events import since_start
from tidemill.telemetry.dialects.messages import read_messages
from tidemill.telemetry.dialects.values import Reader, count, dollars, inside, is_list, is_object, loosely, text

_KINDS: Final = {
    "LLM": "llm", "CHAT_MODEL": "llm", "CHAIN": "chain", "WORKFLOW": "chain", "TASK": "chain", "PARSER": "chain",
    "MEMORY": "other", "AGENT": "agent", "TOOL": "tool", "RETRIEVER": "retriever", "EMBEDDING": "embedding",
    "RERANKER": "reranker", "GUARDRAIL": "guardrail", "EVALUATOR": "evaluator", "UNKNOWN": "other",
}  # fmt: skip
_MCP: Final = "mlflow.chat.tokenUsage"


def _plain(value: Json) -> str | None:
    """A text that may be quoted as JSON."""
    return text(loosely(value))


def _kind(value: Json) -> str | None:
    return _KINDS.get(_plain(value) or "")


def _tokens(*names: str) -> tuple[At, ...]:
    return tuple(At(_MCP, inside(name, reader=count)) for name in names)


def _settings(value: Json) -> Json:
    """The request's parameters stand beside its messages."""
    found = loosely(value)
    return found if is_object(found) and ("messages" in found or "model" in found or "input" in found) else None


def _documents(value: Json) -> Json:
    """Documents, where the objects of a list look as MLflow's retrievers make them."""
    found = loosely(value)
    looks = is_list(found) and bool(found) and all(is_object(each) and "page_content" in each for each in found)
    return read_documents(found) if looks else None


def _inside(*path: str) -> Reader:
    return inside(*path, reader=text)


DIALECT: Final = Dialect(
    name="mlflow",
    scopes=("mlflow",),
    keys=("mlflow.",),
    rank=40,
    fields={
        "kind": (At("mlflow.spanType", _kind),),
        "messages": at("mlflow.chat.messages", reader=read_messages),
        "tools": at("mlflow.chat.tools", reader=loosely),
        "input": at("mlflow.spanInputs", reader=loosely),
        "output": (*at("mlflow.spanOutputs", reader=_documents), *at("mlflow.spanOutputs", reader=loosely)),
        "parameters": (At("mlflow.spanInputs", _settings),),
        "model": (
            At("mlflow.llm.model", _plain), At("mlflow.spanInputs", _inside("model")),
            At("mlflow.spanOutputs", _inside("model")),
        ),
        "provider": (At("mlflow.llm.provider", _plain), At("mlflow.message.format", _plain)),
        "first_token_ns": (Happened(frozenset({"mlflow.chunk.item.0"}), since_start),),
        "input_tokens": _tokens("input_tokens", "prompt_tokens"),
        "output_tokens": _tokens("output_tokens", "completion_tokens"),
        "cached_tokens": _tokens("cache_read_input_tokens"),
        "cache_write_tokens": _tokens("cache_creation_input_tokens"),
        "cost": (
            At("mlflow.llm.cost", inside("total_cost", reader=dollars)),
            At("mlflow.llm.cost", inside("total", reader=dollars)),
        ),
        "session": (At("mlflow.trace.session", _plain), At("mlflow.session", _plain)),
        "user": (At("mlflow.trace.user", _plain), At("mlflow.user", _plain)),
    },
)  # fmt: skip
