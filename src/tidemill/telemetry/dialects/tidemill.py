"""Spans of `tidemill.trace`: see `telemetry/instrument/spans.py`, which writes them."""

from __future__ import annotations

from typing import Final, cast

import orjson

from tidemill.core.json import Json
from tidemill.telemetry import genai
from tidemill.telemetry.dialects.dialect import At, Dialect, Whole, at
from tidemill.telemetry.otlp.raw import RawSpan


def _written(value: Json) -> Json:
    """The value of a text that is JSON: once, as it was written."""
    if not isinstance(value, str):
        return value
    try:
        return cast("Json", orjson.loads(value))
    except orjson.JSONDecodeError:
        return value


def _first_token(span: RawSpan) -> Json:
    waited = span.attributes.get(genai.FIRST_TOKEN_MS)
    return round(waited * 1_000_000) if isinstance(waited, int | float) and 0 <= waited < 1e12 else None


DIALECT: Final = Dialect(
    name="tidemill",
    scopes=("tidemill",),
    keys=("tidemill.kind", "tidemill.input", "tidemill.output"),
    rank=10,
    fields={
        "kind": at(genai.KIND),
        "input": (At(genai.INPUT, _written, moves=True),),
        "output": (At(genai.OUTPUT, _written, moves=True),),
        "model": (genai.RESPONSE_MODEL, genai.REQUEST_MODEL),
        "provider": (genai.PROVIDER,),
        "input_tokens": (genai.USAGE_INPUT_TOKENS,),
        "output_tokens": (genai.USAGE_OUTPUT_TOKENS,),
        "cached_tokens": (genai.USAGE_CACHED_TOKENS,),
        "cache_write_tokens": (genai.USAGE_CACHE_WRITE,),
        "reasoning_tokens": (genai.USAGE_REASONING,),
        "audio_input_tokens": at(genai.USAGE_AUDIO_INPUT),
        "audio_output_tokens": at(genai.USAGE_AUDIO_OUTPUT),
        "cost": at(genai.COST),
        "first_token_ns": (Whole(_first_token, (genai.FIRST_TOKEN_MS,)),),
        "user": (genai.USER,),
        "session": (genai.SESSION,),
        "tags": at(genai.TAGS),
        "release": at(genai.RELEASE),
        "endpoint": at(genai.ENDPOINT),
        "step": at(genai.STEP),
    },
)
