"""Requests to models and their answers, in no vendor's dialect."""

from __future__ import annotations

import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from tidemill.core.errors import Invalid
from tidemill.core.json import JsonObject
from tidemill.core.parts import Message, Part

Dialect: TypeAlias = Literal[
    "openai.chat", "openai.responses", "openai.completions", "openai.embeddings", "openai.moderations", "openai.images",
    "openai.transcriptions", "openai.speech", "anthropic.messages", "anthropic.count_tokens", "cohere.rerank",
]  # fmt: skip
"""How requests and answers are written on the wire; also the keys of every `extra` (see `parts.py`)."""

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "error"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """Where a secret is found: `env:NAME` or `file:PATH`. The secret itself is never held, stored or printed."""

    reference: str

    def __post_init__(self) -> None:
        scheme, _, rest = self.reference.partition(":")
        if scheme not in {"env", "file"} or not rest:
            # The text may be the secret itself, so it is not shown.
            raise Invalid("a secret is given by reference, never as text", hint="Write env:NAME or file:PATH.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """Where a model is reached, in one environment. Outside every digest.

    `timeout` is in seconds, for connecting and for each silence between two pieces of an answer.
    `allow_private` lets the provider's host resolve to a loopback, link-local or private address. `options` are what one
    provider needs besides, such as an API's version or a region; a provider names those that it reads.
    """

    name: str
    provider: str
    base_url: str | None = None
    api_key: Secret | None = None
    timeout: float = 60.0
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    allow_private: bool = False
    environment: str | None = None
    options: Mapping[str, str] = field(default_factory=dict[str, str])


class ToolDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A tool as a model sees it; `parameters` is a JSON Schema of an object."""

    name: str
    description: str = ""
    parameters: JsonObject = {}
    extra: JsonObject = {}


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a chat model.

    `params` holds sampling parameters by their OpenAI names (`temperature`, `top_p`, `max_tokens`, `stop`, `seed`, `logprobs`,
    `top_logprobs`, `presence_penalty`, `frequency_penalty`, `n`, `parallel_tool_calls`, `reasoning_effort`); a provider maps
    them and passes unknown ones through. `output_schema` is a JSON Schema that the answer must satisfy. `extra` holds, by
    dialect, the request's other fields, which go out in that dialect only.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolDefinition, ...] = ()
    tool_choice: str | None = None
    output_schema: JsonObject | None = None
    params: JsonObject = {}
    extra: JsonObject = {}


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Tokens, as the provider counted them; all zero when it did not say.

    `cached_tokens` (read from the provider's prompt cache), `cache_write_tokens` and `audio_input_tokens` are part of
    `input_tokens`; `reasoning_tokens` and `audio_output_tokens` are part of `output_tokens`.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            audio_input_tokens=self.audio_input_tokens + other.audio_input_tokens,
            audio_output_tokens=self.audio_output_tokens + other.audio_output_tokens,
        )


class TokenLogprob(msgspec.Struct, frozen=True, kw_only=True):
    """A token, its natural-log probability, and the likeliest others at its place.

    `data` is the token's own bytes where the provider gave them, since a token may be part of a character; `top_data` those
    of the others, in the order of `top`, or empty.
    """

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()
    data: bytes | None = None
    top_data: tuple[bytes | None, ...] = ()


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One of several answers to one request; `index` counts from 0."""

    index: int
    message: Message
    finish_reason: FinishReason = "stop"
    logprobs: tuple[TokenLogprob, ...] = ()
    extra: JsonObject = {}


class ChatResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer. `model` and `fingerprint` are what the provider reported, not what was asked for.

    `others` are the answers after the first where `n` asked for several; `usage` is of all. `extra` holds, by dialect, what
    else the provider said, such as its own id of the answer.
    """

    message: Message
    finish_reason: FinishReason = "stop"
    usage: Usage = Usage()
    model: str = ""
    fingerprint: str | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    others: tuple[Choice, ...] = ()
    extra: JsonObject = {}


class ToolCallDelta(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a tool call; `index` says of which one. `id` and `name` come with its first piece."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


class AudioDelta(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of spoken output: base64 `data` of whole samples, and the words in it. `id` and `expires` come once."""

    data: str = ""
    transcript: str = ""
    id: str | None = None
    expires: int | None = None


class ChatDelta(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of a streamed answer. The last one carries `finish_reason`, and usage where the provider reports it.

    `choice` says of which answer, where `n` asked for several; each has a last piece of its own. `reasoning` is a piece of what
    the model thinks, and `signature` seals the thought that came before it. `part` is a whole part that came at once: a
    picture, a sealed thought, a provider's own search. `extra` holds, by dialect, what else the provider said.
    """

    text: str = ""
    tool_call: ToolCallDelta | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    model: str | None = None
    fingerprint: str | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    choice: int = 0
    reasoning: str = ""
    signature: str | None = None
    refusal: str = ""
    audio: AudioDelta | None = None
    part: Part | None = None
    extra: JsonObject | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A conversation as the one text that a model reads, and its tokens."""

    text: str
    tokens: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Vectors:
    """Embeddings: `count` rows of `dimensions` 32-bit little-endian floats, row after row, in `data`."""

    dimensions: int
    data: bytes

    @property
    def count(self) -> int:
        """How many vectors."""
        return len(self.data) // (4 * self.dimensions) if self.dimensions else 0

    def row(self, index: int) -> bytes:
        """The bytes of one vector."""
        width = 4 * self.dimensions
        return self.data[index * width : (index + 1) * width]

    @classmethod
    def from_lists(cls, vectors: Sequence[Sequence[float]]) -> Vectors:
        """Pack lists of floats. All must have the same length."""
        width = len(vectors[0]) if vectors else 0
        if any(len(each) != width for each in vectors):
            raise Invalid("vectors of different lengths cannot be packed together")
        return cls(dimensions=width, data=b"".join(array.array("f", each).tobytes() for each in vectors))


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedResponse:
    """Embeddings of the texts asked for, in their order."""

    vectors: Vectors
    usage: Usage = field(default_factory=Usage)
    model: str = ""
