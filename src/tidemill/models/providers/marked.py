"""Watermarked answers of the local engine, token by token.

The engine takes a bias for single tokens with each request, so every token is a request of its own: the green list of the
token before is sent as biases, over the whole vocabulary and before the engine's own sampling, which is the algorithm as
published and no approximation of it. The engine keeps the prompt's state between requests. It costs
some four times the time a token.
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import cast

from tidemill.core.chat import ChatDelta, ChatRequest, Connection, FinishReason, Usage
from tidemill.core.errors import Invalid, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.models.providers.openai_requests import write_request
from tidemill.models.reading import child, children, count, text
from tidemill.models.watermark import Watermark, green_list
from tidemill.models.wire import Wire

_SAMPLING = (
    "temperature", "top_p", "top_k", "min_p", "typical_p", "repeat_penalty", "presence_penalty", "frequency_penalty",
    "mirostat",
)  # fmt: skip
_REFUSED = ("logit_bias", "logprobs", "top_logprobs", "grammar")
_FIELDS = ["content", "tokens", "stop_type", "completion_probabilities"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A watermark with its key at hand, and the engine's size: `vocabulary` and `context` in tokens."""

    watermark: Watermark
    key: bytes
    vocabulary: int
    context: int


class MarkedChat:
    """Speaks llama.cpp's own dialect to a local engine at `connection.base_url`."""

    def __init__(self) -> None:
        self._wire = Wire("local")

    async def stream(self, request: ChatRequest, *, connection: Connection, mark: Mark) -> AsyncGenerator[ChatDelta]:
        """Yield a piece a token. Raises `Invalid` for what cannot be done token by token."""
        _check(request)
        prompt = await self._prompt(request, connection)
        most = min(count(request.params, "max_tokens"), mark.context - len(prompt))
        words, made = _Words(_stops(request.params)), 0
        tokens = list(prompt)
        reason: FinishReason = "length"
        while made < most:
            green = green_list(mark.key, tokens[-1], vocabulary=mark.vocabulary, gamma=mark.watermark.gamma)
            bias = [[each, mark.watermark.delta] for each in green.tolist()]
            answer = await self._post("/completion", _step(request.params, tokens, bias, made=made), connection)
            token = cast("Sequence[int]", answer.get("tokens") or ())
            if not token or answer.get("stop_type") == "eos":
                reason = "stop"
                break
            tokens.append(token[0])
            made += 1
            shown = words.add(_bytes(answer))
            if shown:
                yield ChatDelta(text=shown)
            if words.ended:
                reason = "stop"
                break
        usage = Usage(input_tokens=len(prompt), output_tokens=made)
        yield ChatDelta(text=words.rest(), finish_reason=reason, usage=usage)

    async def tokenize(self, content: str, *, connection: Connection) -> list[int]:
        """The ids of a text's tokens, special ones as plain text."""
        answer = await self._post("/tokenize", {"content": content, "add_special": False}, connection)
        return list(cast("Sequence[int]", answer["tokens"]))

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()

    async def _prompt(self, request: ChatRequest, connection: Connection) -> list[int]:
        messages = write_request(request, official=False)["messages"]
        templated = await self._post("/apply-template", {"messages": messages}, connection)
        body: JsonObject = {"content": text(templated, "prompt"), "add_special": True, "parse_special": True}
        return list(cast("Sequence[int]", (await self._post("/tokenize", body, connection))["tokens"]))

    async def _post(self, path: str, body: JsonObject, connection: Connection) -> JsonObject:
        url = str(connection.base_url).removesuffix("/v1") + path
        answer = await self._wire.ask(url, body, headers=dict(connection.headers), connection=connection, secret=None)
        if "error" in answer:
            raise Unavailable(f"the local engine: {text(child(answer, 'error'), 'message')}")
        return answer


class _Words:
    """Text out of the bytes of tokens: a character that is spread over several comes whole, and a stop text never comes."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = stops
        self._held = ""
        self.ended = False

    def add(self, content: bytes) -> str:
        """What may be shown now."""
        self._held += self._decoder.decode(content)
        places = [self._held.find(stop) for stop in self._stops if stop in self._held]
        if places:
            self.ended = True
            shown, self._held = self._held[: min(places)], ""
            return shown
        longest = max((self._beginning(stop) for stop in self._stops), default=0)
        shown, self._held = self._held[: len(self._held) - longest], self._held[len(self._held) - longest :]
        return shown

    def rest(self) -> str:
        """What was held back and is not a stop text after all."""
        return "" if self.ended else self._held + self._decoder.decode(b"", final=True)

    def _beginning(self, stop: str) -> int:
        """How much of the end may be the beginning of a stop text."""
        return next((size for size in range(len(stop) - 1, 0, -1) if self._held.endswith(stop[:size])), 0)


def _step(params: JsonObject, tokens: Sequence[int], bias: list[list[float]], *, made: int) -> JsonObject:
    body: dict[str, Json] = {name: params[name] for name in _SAMPLING if params.get(name) is not None}
    if isinstance(params.get("seed"), int):
        body["seed"] = (cast("int", params["seed"]) + made) % 2**32
    return body | {
        "prompt": list(tokens),
        "n_predict": 1,
        "logit_bias": cast("Json", bias),
        "cache_prompt": True,
        "return_tokens": True,
        "n_probs": 1,
        "response_fields": _FIELDS,
    }


def _bytes(answer: JsonObject) -> bytes:
    """The token's own bytes: as text, half a character would be lost."""
    for each in children(answer, "completion_probabilities"):
        found = each.get("bytes")
        if isinstance(found, Sequence) and not isinstance(found, str):
            return bytes(cast("Sequence[int]", found))
    return text(answer, "content").encode()


def _stops(params: JsonObject) -> list[str]:
    stop = params.get("stop")
    if isinstance(stop, str):
        return [stop] if stop else []
    return [each for each in stop if isinstance(each, str) and each] if isinstance(stop, Sequence) else []


def _check(request: ChatRequest) -> None:
    refused = [name for name in _REFUSED if request.params.get(name)]
    if request.output_schema is not None:
        refused.append("output_schema")
    if refused:
        raise Invalid(
            f"a watermarked answer cannot have {refused[0]}",
            where="params.watermark",
            hint=f"Leave out watermark or {refused[0]}: each token is asked for by itself.",
        )
