"""A call's request, as its guardrails let it go out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

import msgspec
import orjson

from tidemill.core.chat import ChatRequest
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import message_to_json
from tidemill.models.checks.said import See, in_fields, in_request
from tidemill.models.checks.screen import HEADER, Screen

if TYPE_CHECKING:
    from tidemill.models.calls import Call, RawRequest

_NUMBERS: Final = ("prompt", "input")
_ANSWERED: Final = frozenset({"chat", "completions"})
"""Operations whose answer guardrails read."""


async def screen_request(call: Call, screen: Screen) -> None:
    """Put what may go out in place of what was asked. Raises `Blocked`, `Unavailable`, and `Invalid` for what cannot be read.

    Where the answer has to be read too, the request is not passed on as it was written.
    """
    if screen.inputs:
        await screen.within(screen.inputs, lambda: _looked_at(call, screen))
    raw = call.raw
    if screen.outputs and call.operation in _ANSWERED:
        if call.request is not None and "audio" in _names(call.request.params.get("modalities")):
            hint = "Leave audio out of modalities, or ask a model without output guardrails."
            raise Invalid("guardrails cannot read an answer in sound", where="modalities", hint=hint, kind="invalid")
        if raw is not None and raw.refused is not None:
            raise raw.refused
        call.raw = None if call.request is not None else raw
    call.notes[HEADER] = screen.header


async def _looked_at(call: Call, screen: Screen) -> None:
    raw, request = call.raw, call.request
    if raw is not None:
        _check_readable(raw)
    before = (request, None if raw is None else raw.fields, call.texts)

    def walk(see: See) -> tuple[ChatRequest | None, JsonObject | None, tuple[str, ...]]:
        asked = None if request is None else in_request(request, see)
        fields = None if raw is None else in_fields(raw.fields, see)
        texts = tuple(see("user", (each,))[0] for each in call.texts)
        return asked, fields, texts

    asked, fields, texts = await screen.change(screen.inputs, walk)
    if asked is not before[0] and asked is not None:
        call.request = asked
        call.span.set(input=[message_to_json(each) for each in asked.messages])
    if raw is not None and fields is not None and fields is not raw.fields:
        call.raw = msgspec.structs.replace(raw, fields=fields, body=orjson.dumps(fields))
        if request is None:
            call.span.set(input=fields)
    if texts != call.texts:
        call.texts = texts


def _check_readable(raw: RawRequest) -> None:
    """A text may be sent as its tokens, which nobody here can read."""
    for name in _NUMBERS:
        value = raw.fields.get(name)
        if not isinstance(value, Sequence) or isinstance(value, str):
            continue
        for each in value:
            if isinstance(each, int | float) or (isinstance(each, Sequence) and not isinstance(each, str)):
                hint = "Send the text itself, or ask a model without input guardrails."
                raise Invalid("guardrails cannot read a text that is sent as tokens", where=name, hint=hint, kind="invalid")


def _names(value: Json) -> Sequence[str]:
    return cast("Sequence[str]", value) if isinstance(value, Sequence) and not isinstance(value, Mapping) else ()
