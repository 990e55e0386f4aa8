"""What each thing costs at one time, and what a use of it comes to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tidemill.core.chat import Usage

_NOTHING: Final = Usage()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """US dollars a token, a request, an image, a second of audio.

    Tokens of a class without a price of its own (None) cost what the tokens do that they are part of: cached, cache-write and
    audio input as `input`, reasoning and audio output as `output`. `tiers` are other rates for uses of more than so many input
    tokens, the smallest first; each holds for all tokens of such a use.
    """

    input: float = 0.0
    output: float = 0.0
    cached: float | None = None
    cache_write: float | None = None
    reasoning: float | None = None
    audio_input: float | None = None
    audio_output: float | None = None
    request: float = 0.0
    image: float = 0.0
    audio_second: float = 0.0
    tiers: tuple[tuple[int, Rates], ...] = ()

    def cost(self, usage: Usage = _NOTHING, *, images: float = 0.0, audio_seconds: float = 0.0) -> float:
        """What one use costs. Classes of tokens are parts of input and output, see `Usage`; more than the whole counts once."""
        if self.tiers:
            for start, rates in reversed(self.tiers):
                if usage.input_tokens > start:
                    return rates.cost(usage, images=images, audio_seconds=audio_seconds)
        total = self.request + usage.input_tokens * self.input + usage.output_tokens * self.output
        if images or audio_seconds:
            total += images * self.image + audio_seconds * self.audio_second
        if usage.cached_tokens or usage.cache_write_tokens or usage.audio_input_tokens:
            classes = (
                (usage.cached_tokens, self.cached),
                (usage.cache_write_tokens, self.cache_write),
                (usage.audio_input_tokens, self.audio_input),
            )
            total += _apart(usage.input_tokens, self.input, classes)
        if usage.reasoning_tokens or usage.audio_output_tokens:
            others = ((usage.audio_output_tokens, self.audio_output), (usage.reasoning_tokens, self.reasoning))
            total += _apart(usage.output_tokens, self.output, others)
        return total


def _apart(whole: int, usual: float, classes: tuple[tuple[int, float | None], ...]) -> float:
    """What tokens of classes cost more, or less, than the usual price of the whole that they are part of."""
    more, left = 0.0, whole
    for tokens, price in classes:
        part = min(tokens, left)
        left -= part
        if price is not None:
            more += part * (price - usual)
    return more
