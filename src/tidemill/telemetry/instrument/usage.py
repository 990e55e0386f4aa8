"""Tokens as a user's program has them: a mapping or a provider's object, under the names that providers give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from tidemill.telemetry import genai

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    genai.USAGE_INPUT_TOKENS: ("input_tokens", "prompt_tokens"),
    genai.USAGE_OUTPUT_TOKENS: ("output_tokens", "completion_tokens"),
    genai.USAGE_CACHED_TOKENS: ("cached_tokens", "cache_read_input_tokens", "prompt_tokens_details.cached_tokens"),
    genai.USAGE_CACHE_WRITE: ("cache_write_tokens", "cache_creation_input_tokens"),
    genai.USAGE_REASONING: ("reasoning_tokens", "completion_tokens_details.reasoning_tokens"),
    genai.USAGE_AUDIO_INPUT: ("audio_input_tokens", "prompt_tokens_details.audio_tokens"),
    genai.USAGE_AUDIO_OUTPUT: ("audio_output_tokens", "completion_tokens_details.audio_tokens"),
}


def usage_attributes(usage: object) -> dict[str, int]:
    """The attributes that say it. What is not a count is left out."""
    found: dict[str, int] = {}
    for attribute, names in _NAMES.items():
        for name in names:
            value = _read(usage, name)
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                found[attribute] = value
                break
    return found


def _read(value: object, path: str) -> object:
    for name in path.split("."):
        value = cast("Mapping[str, object]", value).get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    return value
