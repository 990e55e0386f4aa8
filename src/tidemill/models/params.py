"""Sampling parameters by their OpenAI names, said in a provider's own words; and what becomes of those it has no word for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject

HINTS: Final = frozenset(
    "user metadata store service_tier parallel_tool_calls prompt_cache_key prompt_cache_retention safety_identifier prediction"
    " verbosity reasoning_effort seed stream_options".split()
)
"""What a provider may not know without the answer being another kind of answer: left out where it has no word for it."""

ASKED: Final = frozenset(
    "temperature top_p top_k max_tokens max_completion_tokens stop logprobs top_logprobs logit_bias presence_penalty"
    " frequency_penalty n modalities audio web_search_options".split()
)
"""What changes the answer: refused where a provider has no word for it, unless the model says `unsupported: drop`."""


def mapped(params: JsonObject, names: Mapping[str, str], *, provider: str) -> dict[str, Json]:
    """`params` by the provider's `names`; what has no OpenAI name is passed on as it is written.

    A value that asks for nothing (None, False, a penalty of 0, one answer) is left out where there is no word for it.
    `provider_options.unsupported` is the model's policy: `refuse` (the default) or `drop`. Raises `Invalid` for a refusal.
    """
    options = params.get("provider_options")
    drops = isinstance(options, Mapping) and options.get("unsupported") == "drop"
    written: dict[str, Json] = {}
    for name, value in params.items():
        if value is None or name == "provider_options":
            continue
        if name in names:
            written[names[name]] = value
        elif name in ASKED:
            if not drops and not _asks_for_nothing(name, value):
                raise unsupported(name, provider)
        elif name not in HINTS:
            written[name] = value
    return written


def unsupported(name: str, provider: str) -> Invalid:
    """The error for a parameter that a provider cannot follow."""
    hint = f"Leave {name} out, or write unsupported: drop in the model."
    return Invalid(f"{provider} has no {name}", where=f"params.{name}", hint=hint, kind="invalid")


def _asks_for_nothing(name: str, value: Json) -> bool:
    return not value or (name == "n" and value == 1) or (name == "modalities" and value == ["text"])


def stops(value: Json) -> list[Json]:
    """`stop` as a list."""
    return [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else []
