"""A whole answer as bytes, and back."""

from __future__ import annotations

import zlib
from typing import Any, Final, cast

import msgspec

from tidemill.core.chat import ChatResponse, Choice, FinishReason, TokenLogprob, Usage
from tidemill.core.errors import Unavailable
from tidemill.core.json import Json
from tidemill.core.parts import message_from_json, message_to_json

_QUICK: Final = 1


class _Choice(msgspec.Struct, kw_only=True, omit_defaults=True):
    index: int
    message: dict[str, Any]
    finish_reason: str
    logprobs: tuple[TokenLogprob, ...] = ()
    extra: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


class _Answer(msgspec.Struct, kw_only=True, omit_defaults=True):
    message: dict[str, Any]
    finish_reason: str
    usage: Usage = Usage()
    model: str = ""
    fingerprint: str | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    others: tuple[_Choice, ...] = ()
    extra: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(_Answer)


def to_bytes(response: ChatResponse) -> bytes:
    """The answer, compressed."""
    written = _Answer(
        message=dict(message_to_json(response.message)),
        finish_reason=response.finish_reason,
        usage=response.usage,
        model=response.model,
        fingerprint=response.fingerprint,
        logprobs=response.logprobs,
        others=tuple(
            _Choice(
                index=each.index, message=dict(message_to_json(each.message)), finish_reason=each.finish_reason,
                logprobs=each.logprobs, extra=dict(each.extra),
            )
            for each in response.others
        ),
        extra=dict(response.extra),
    )  # fmt: skip
    return zlib.compress(_ENCODER.encode(written), _QUICK)


def from_bytes(body: bytes) -> ChatResponse:
    """What `to_bytes` wrote. Raises `Unavailable` for anything else."""
    try:
        written = _DECODER.decode(zlib.decompress(body))
    except (zlib.error, msgspec.DecodeError) as error:
        raise Unavailable("a kept answer cannot be read") from error
    return ChatResponse(
        message=message_from_json(cast("Json", written.message)),
        finish_reason=cast("FinishReason", written.finish_reason),
        usage=written.usage,
        model=written.model,
        fingerprint=written.fingerprint,
        logprobs=written.logprobs,
        others=tuple(
            Choice(
                index=each.index, message=message_from_json(cast("Json", each.message)),
                finish_reason=cast("FinishReason", each.finish_reason), logprobs=each.logprobs, extra=each.extra,
            )
            for each in written.others
        ),
        extra=written.extra,
    )  # fmt: skip
