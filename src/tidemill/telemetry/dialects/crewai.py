"""CrewAI by OpenLLMetry's instrumentation: crews, their tasks and agents. OpenInference's needs nothing of its own.

https://github.com/traceloop/openllmetry/tree/main/packages/opentelemetry-instrumentation-crewai
"""

from __future__ import annotations

import ast
from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry.dialects.dialect import At, Dialect, at
from tidemill.telemetry.dialects.values import Reader, always, count, is_object, loosely, text

_USED: Final = "crewai.crew.usage_metrics"


def _used(name: str) -> Reader:
    """A count of a crew's, whose object is written as Python does."""

    def read(value: Json) -> int | None:
        if not isinstance(value, str) or len(value) > 4096:
            return None
        try:
            found = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
        return count(found.get(name)) if is_object(found) else None

    return read


def _plain(value: Json) -> str | None:
    said = text(value)
    return None if said in (None, "None") else said


DIALECT: Final = Dialect(
    name="crewai",
    scopes=("opentelemetry.instrumentation.crewai",),
    keys=("crewai.",),
    rank=55,
    fields={
        "kind": (
            At("crewai.crew.id", always("chain")), At("crewai.task.id", always("chain")),
            At("crewai.agent.id", always("agent")), At("crewai.tool.name", always("tool")),
        ),
        "input": (*at("crewai.task.description"), At("crewai.crew.tasks"), *at("crewai.tool.arguments")),
        "output": at("crewai.crew.result", "traceloop.entity.output", "crewai.tool.result", reader=loosely),
        "model": (At("crewai.agent.llm", _plain),),
        "input_tokens": (At(_USED, _used("prompt_tokens")),),
        "output_tokens": (At(_USED, _used("completion_tokens")),),
        "cached_tokens": (At(_USED, _used("cached_prompt_tokens")),),
        "cache_write_tokens": (At(_USED, _used("cache_creation_tokens")),),
        "reasoning_tokens": (At(_USED, _used("reasoning_tokens")),),
        "gen_ai.agent.name": ("crewai.agent.role", "crewai.task.agent"),
        "gen_ai.tool.name": ("crewai.tool.name",),
    },
)  # fmt: skip
