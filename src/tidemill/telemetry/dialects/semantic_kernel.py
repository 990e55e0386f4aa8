"""Semantic Kernel: OpenTelemetry's conventions with turns of its own. What was said may come as log records instead.

https://learn.microsoft.com/semantic-kernel/concepts/enterprise-readiness/observability/
"""

from __future__ import annotations

from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry.dialects.dialect import At, Dialect, at
from tidemill.telemetry.dialects.handoffs import handed_to
from tidemill.telemetry.dialects.values import always, loosely, text

_NAMES: Final = ("semantic_kernel.function.name", "sk.available_functions")


def _reason(value: Json) -> tuple[str, ...] | None:
    """`FinishReason.STOP`, as Python writes it."""
    said = text(value)
    return (said.removeprefix("FinishReason.").lower(),) if said else None


DIALECT: Final = Dialect(
    name="semantic_kernel",
    scopes=("semantic_kernel", "Microsoft.SemanticKernel"),
    keys=("sk.available_functions", "semantic_kernel."),
    rank=40,
    fields={
        "implied_kind": (*(At(each, always("tool")) for each in _NAMES[:1]), At(_NAMES[1], always("chain"))),
        "input": at("semantic_kernel.function.arguments"),
        "output": at("semantic_kernel.function.result", reader=loosely),
        "finish_reasons": (At("gen_ai.response.finish_reason", _reason),),
        "gen_ai.tool.name": ("semantic_kernel.function.name",),
        "tidemill.handoff.to": (handed_to("gen_ai.tool.call.arguments"),),
    },
)
