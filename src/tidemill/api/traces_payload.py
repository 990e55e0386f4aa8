"""The whole of an input or output that is too large for its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast

import anyio.to_thread

from tidemill.api.caller import AnyCaller, Caller
from tidemill.api.router import Router
from tidemill.core.errors import NotFound, TidemillError
from tidemill.core.json import Json, JsonObject
from tidemill.telemetry.privacy.payloads import FIELDS, Field, Payloads, place_of
from tidemill.telemetry.row import decode_value

router = Router(tags=["traces"])
MOST: Final = 16 * 1024 * 1024
"""How many bytes of values kept apart a whole trace may hold."""


@router.get("/traces/{trace_id}/spans/{span_id}/payload")
async def get_payload(
    call: AnyCaller, trace_id: str, span_id: str, field: Literal["input", "output"] = "input"
) -> dict[str, Any]:
    """The whole input or output of one span, read from where it is kept apart, encrypted, when it is large."""
    telemetry = call.platform.telemetry
    whole = (await telemetry.find_trace(call.project, trace_id)).id
    text, place = await place_of(telemetry.engine, call.project, whole, span_id, field)
    payloads = telemetry.gate.payloads
    if place and payloads is None:
        raise NotFound("payloads are not kept apart here")
    value: Json = decode_value(text)
    if place and payloads is not None:
        content = await anyio.to_thread.run_sync(payloads.get, call.project, place)
        value = decode_value(content.decode("utf-8", "replace"))
    return {"trace": whole, "span": span_id, "field": field, "value": value, "apart": bool(place)}


async def with_payloads(call: Caller, trace: JsonObject) -> JsonObject:
    """The trace with values that are kept apart in their places, as far as they are there and not too many."""
    telemetry, room = call.platform.telemetry, MOST
    spans: list[Json] = []
    for span in cast("Sequence[Mapping[str, Json]]", trace["spans"]):
        made, notes, left = dict(span), list[Json](), list[Json]()
        apart = cast("Sequence[str]", span["apart"])
        wanted: list[Field] = [each for each in FIELDS if each in apart]
        for field in wanted:
            value, size, problem = await _whole(telemetry.gate.payloads, call, str(trace["id"]), str(span["id"]), field, room)
            room -= size
            if problem:
                left.append(field)
                notes.append(f"{field}: {problem}")
            else:
                made[field] = value
        spans.append({**made, "apart": left, **({"notes": notes} if notes else {})})
    return {**trace, "spans": spans}


async def whole_summary(call: Caller, trace: JsonObject, *, most: int) -> tuple[JsonObject, str]:
    """A trace of a list with its input and output whole, and why that cannot be, where they are kept apart."""
    apart = cast("Mapping[Field, str]", trace.get("kept_apart") or {})
    made = dict(trace)
    for field, span in apart.items():
        value, _, problem = await _whole(call.platform.telemetry.gate.payloads, call, str(trace["id"]), span, field, most)
        if problem:
            return trace, problem
        made[field] = value
    return made, ""


async def _whole(
    payloads: Payloads | None, call: Caller, trace: str, span: str, field: Field, room: int
) -> tuple[Json, int, str]:
    """The value, its bytes, and why it is not there."""
    _, place = await place_of(call.platform.telemetry.engine, call.project, trace, span, field)
    if payloads is None:
        return None, 0, "payloads are not kept apart here"
    try:
        content = await anyio.to_thread.run_sync(payloads.get, call.project, place)
    except NotFound as error:
        return None, 0, str(error)
    except TidemillError as error:
        return None, 0, f"the whole value cannot be read: {error}"
    if len(content) > room:
        return (
            None,
            0,
            f"{len(content):,} bytes are too many here; GET /traces/{trace}/spans/{span}/payload?field={field} has them",
        )
    return decode_value(content.decode("utf-8", "replace")), len(content), ""
