"""What a call will take, before it is made: an estimate that learns from what calls took.

Input is counted by the length of its text, with the share of tokens to bytes that nine in ten calls of the model stayed
below; output is what the request allows at most, else what nine in ten answers stayed below. Settling replaces all of it.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from typing import Final, cast

import msgspec

from tidemill.core.chat import ChatRequest, Usage
from tidemill.core.json import Json
from tidemill.core.parts import Media, ToolCall, ToolResult
from tidemill.models.calls import Call
from tidemill.models.limits.rules import NANO, nano_of
from tidemill.pricing import Overrides
from tidemill.pricing.prices import cost_of

MOST_TOKENS: Final = 16_000_000
"""More than any model takes: what a provider reports beyond it is not believed."""
_SHARE: Final = 0.3  # tokens a byte, before anything is learned: English has 0.22 to 0.28
_A_MESSAGE: Final = 8  # tokens that its role and its ends take
_A_PICTURE: Final = 1000
_A_TOOL: Final = 60
_OUTPUT: Final = 512
_LONG: Final = 200  # bytes: of less, what frames a text is more than the text
_SAMPLES: Final = 64
_RECKONED_EVERY: Final = 8
_MODELS: Final = 1024
_LIMITS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_PRICED_FOR: Final = 3600.0  # seconds


_NO_PRICES: Final = Overrides()


class Estimate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`cost` is in billionths of a US dollar; `size` is the input's bytes of text and `besides` the tokens of all else."""

    input_tokens: int
    output_tokens: int
    cost: int
    size: int
    besides: int

    @property
    def tokens(self) -> int:
        """Of input and output."""
        return self.input_tokens + self.output_tokens


class Quantile:
    """What nine in ten of the last samples stayed at or below; `first` until there are some."""

    __slots__ = ("_first", "_fresh", "_samples", "value")

    def __init__(self, first: float) -> None:
        self.value = first
        self._first = first
        self._fresh = 0
        self._samples: deque[float] = deque(maxlen=_SAMPLES)

    def add(self, sample: float) -> None:
        """Learn from one more."""
        self._samples.append(sample)
        self._fresh += 1
        if self._fresh >= min(_RECKONED_EVERY, len(self._samples)):
            self._fresh = 0
            ordered = sorted(self._samples)
            self.value = ordered[-(-len(ordered) * 9 // 10) - 1]


class _Learned:
    __slots__ = ("cost", "output", "priced", "prices", "rates", "share")

    def __init__(self) -> None:
        self.share = Quantile(_SHARE)
        self.output = Quantile(_OUTPUT)
        self.cost = Quantile(0.0)
        self.rates: tuple[float, float] | None = None
        self.priced = float("-inf")
        self.prices = _NO_PRICES


class Estimator:
    """Of every model of every project. Belongs to one event loop."""

    def __init__(self) -> None:
        self._learned: OrderedDict[tuple[str, str], _Learned] = OrderedDict()

    def estimate(self, call: Call, *, now: float, prices: Overrides | None = None) -> Estimate:
        """What the call will take. `now` is in monotonic seconds; `prices` are the project's own."""
        known = self._of(call)
        if prices is not None and prices is not known.prices:
            known.prices, known.priced = prices, float("-inf")
        size, more = _size(call)
        given = round(size * known.share.value) + more
        made = 0
        if call.operation in {"chat", "completions"}:
            made = _most_output(call.request, known)
        return Estimate(
            input_tokens=given, output_tokens=made, cost=self._cost(call, known, given, made, now), size=size, besides=more
        )

    def with_input(self, call: Call, estimate: Estimate, tokens: int, *, now: float) -> Estimate:
        """The same with an input that was counted."""
        cost = self._cost(call, self._of(call), tokens, estimate.output_tokens, now)
        return msgspec.structs.replace(estimate, input_tokens=tokens, cost=cost)

    def price(self, call: Call, usage: Usage, *, now: float) -> int:
        """Billionths of a US dollar for what a call took that the provider did not price: it broke off, or was left."""
        known = self._of(call)
        return self._cost(call, known, usage.input_tokens, usage.output_tokens, now) if usage.input_tokens else 0

    def learn(self, call: Call, estimate: Estimate, usage: Usage, cost: float | None) -> None:
        """Take in what a call took that came to its end."""
        known = self._of(call)
        if estimate.size >= _LONG and usage.input_tokens > estimate.besides:
            known.share.add(min(2.0, (usage.input_tokens - estimate.besides) / estimate.size))
        if usage.output_tokens > 0:
            known.output.add(usage.output_tokens)
        if cost:
            known.cost.add(cost)

    def _of(self, call: Call) -> _Learned:
        key = (call.caller.project, call.model.bare)
        known = self._learned.get(key)
        if known is None:
            known = self._learned[key] = _Learned()
            if len(self._learned) > _MODELS:
                self._learned.popitem(last=False)
        return known

    def _cost(self, call: Call, known: _Learned, given: int, made: int, now: float) -> int:
        if now - known.priced > _PRICED_FOR:
            known.priced = now
            spec = call.model.spec
            known.rates = _rates(str(spec.get("provider") or ""), str(spec.get("model") or call.model.name), known.prices)
        if known.rates is None:
            return nano_of(known.cost.value)
        return round(given * known.rates[0] + made * known.rates[1])


def bounded(usage: Usage) -> tuple[Usage, bool]:
    """What a provider reported, as far as it can be believed; and whether it could not: counts below 0 or beyond any model."""
    counts = (usage.input_tokens, usage.output_tokens)
    if 0 <= counts[0] <= MOST_TOKENS and 0 <= counts[1] <= MOST_TOKENS:
        return usage, False
    given, made = (min(MOST_TOKENS, max(0, each)) for each in counts)
    return Usage(input_tokens=given, output_tokens=made), True


def _rates(provider: str, model: str, prices: Overrides) -> tuple[float, float] | None:
    """Billionths of a dollar for a token of input and one of output; None where no price is known."""
    million = 1_000_000
    own = prices.at(provider, model, time.time_ns()) if prices.prices else None
    if own is not None:
        given, made = own.cost(Usage(input_tokens=million)), own.cost(Usage(output_tokens=million))
        return given * NANO / million, made * NANO / million
    given = cost_of(provider, model, Usage(input_tokens=million))
    made = cost_of(provider, model, Usage(output_tokens=million))
    return None if given is None or made is None else (given * NANO / million, made * NANO / million)


def _size(call: Call) -> tuple[int, int]:
    """Bytes of text that the model reads, and tokens for what is no text."""
    request = call.request
    if request is None:
        if call.texts:
            return sum(map(_bytes, call.texts)), 0
        return 0 if call.raw is None or not call.raw.fields else len(call.raw.body), 0
    size, more = 0, len(request.tools) * _A_TOOL
    for message in request.messages:
        more += _A_MESSAGE
        for part in message.parts:
            if isinstance(part, ToolCall):
                size += _bytes(part.arguments)
            elif isinstance(part, ToolResult):
                size += _bytes(part.content)
            elif isinstance(part, Media):
                more += _A_PICTURE
            else:
                size += _bytes(getattr(part, "text", ""))
    return size, more


def _bytes(text: str) -> int:
    """The length of a text in UTF-8, of which tokens are made in every language."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _most_output(request: ChatRequest | None, known: _Learned) -> int:
    if request is None:
        return round(known.output.value)
    params = request.params
    most: Json = next((params[each] for each in _LIMITS if params.get(each) is not None), None)
    answers = params.get("n")
    times = answers if isinstance(answers, int) and not isinstance(answers, bool) and 0 < answers <= 128 else 1
    if isinstance(most, int) and most >= 0:
        return min(MOST_TOKENS, cast("int", most)) * times
    return round(known.output.value) * times
