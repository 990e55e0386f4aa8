"""Sampling parameters by whatever names, as attributes of OpenTelemetry's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry import genai
from tidemill.telemetry.dialects.values import is_object, number, texts

_NUMBERS: Final = {
    genai.REQUEST_TEMPERATURE: ("temperature",),
    genai.REQUEST_TOP_P: ("top_p", "topP"),
    "gen_ai.request.top_k": ("top_k", "topK"),
    genai.REQUEST_SEED: ("seed",),
    genai.REQUEST_MAX_TOKENS: (
        "max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "maxTokens", "max_tokens_to_sample",
    ),
    genai.REQUEST_FREQUENCY_PENALTY: ("frequency_penalty", "frequencyPenalty"),
    genai.REQUEST_PRESENCE_PENALTY: ("presence_penalty", "presencePenalty"),
    "gen_ai.request.choice.count": ("n", "candidate_count", "candidateCount"),
}  # fmt: skip
_STOPS: Final = ("stop", "stop_sequences", "stopSequences")
_WITHIN: Final = ("generation_config", "generationConfig", "inferenceConfig", "config", "model_settings", "kwargs")


def note_parameters(given: Mapping[str, Json], attributes: dict[str, Json]) -> None:
    """Set the attributes of what `given` (or an object of settings within it) says, where they are not there yet."""
    inner = [each for name in _WITHIN if is_object(each := given.get(name))]
    for each in (given, *inner):
        for attribute, names in _NUMBERS.items():
            if attribute in attributes:
                continue
            for name in names:
                value = each.get(name)
                if number(value) is not None:
                    attributes[attribute] = value
                    break
        if genai.REQUEST_STOP_SEQUENCES not in attributes:
            found = next((stops for name in _STOPS if (stops := texts(each.get(name)))), None)
            if found:
                attributes[genai.REQUEST_STOP_SEQUENCES] = list(found)
