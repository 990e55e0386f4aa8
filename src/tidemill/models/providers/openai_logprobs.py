"""Log probabilities in OpenAI's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tidemill.core.chat import TokenLogprob
from tidemill.core.json import JsonObject
from tidemill.models.reading import children, number, text


def read_logprobs(logprobs: JsonObject) -> tuple[TokenLogprob, ...]:
    """Of each token, with its bytes and the likeliest others where they are given."""
    return tuple(_token(each) for each in children(logprobs, "content")) if logprobs else ()


def _token(value: JsonObject) -> TokenLogprob:
    others = children(value, "top_logprobs")
    top_data = tuple(_bytes(other) for other in others)
    return TokenLogprob(
        token=text(value, "token"),
        logprob=number(value, "logprob"),
        top=tuple((text(other, "token"), number(other, "logprob")) for other in others),
        data=_bytes(value),
        top_data=top_data if any(each is not None for each in top_data) else (),
    )


def _bytes(value: JsonObject) -> bytes | None:
    given = value.get("bytes")
    if not isinstance(given, Sequence) or isinstance(given, str):
        return None
    numbers = [each for each in cast("Sequence[object]", given) if isinstance(each, int) and 0 <= each < 256]
    return bytes(numbers)
