"""The whole of an input or output that is too large for its row."""

from __future__ import annotations

from typing import Any, Literal

import anyio.to_thread

from tidemill.api.caller import AnyCaller
from tidemill.api.router import Router
from tidemill.core.errors import NotFound
from tidemill.core.json import Json
from tidemill.telemetry.privacy.payloads import place_of
from tidemill.telemetry.row import decode_value

router = Router(tags=["traces"])


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
