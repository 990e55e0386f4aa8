"""What this platform's own instrumentation writes, and what its export writes back: every field by its own name."""

from __future__ import annotations

from typing import Final

from tidemill.telemetry import genai
from tidemill.telemetry.dialects.dialect import At, Dialect, at
from tidemill.telemetry.dialects.values import loosely, lower, milliseconds

DIALECT: Final = Dialect(
    name="tidemill",
    scopes=("tidemill",),
    keys=("tidemill.",),
    rank=0,
    fields={
        "kind": (At("tidemill.kind", lower),),
        "input": at("tidemill.input", reader=loosely),
        "output": at("tidemill.output", reader=loosely),
        "user": ("tidemill.user",),
        "session": ("tidemill.session",),
        "tags": ("tidemill.tags",),
        "release": (genai.RELEASE,),
        "endpoint": (genai.ENDPOINT,),
        "step": (genai.STEP,),
        "model": ("tidemill.model",),
        "cost": ("tidemill.cost",),
        "weight": ("tidemill.weight",),
        "error": ("tidemill.error",),
        "first_token_ns": (At(genai.FIRST_TOKEN_MS, milliseconds),),
    },
)
