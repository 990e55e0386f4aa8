"""Server-sent events as bytes."""

from __future__ import annotations

from typing import Final

import orjson

from tidemill.core.json import JsonObject

DONE: Final = b"data: [DONE]\n\n"
"""The marker at the end of a stream that clients of the older dialects wait for."""


def event(body: JsonObject) -> bytes:
    """One event with only data."""
    return b"data: " + orjson.dumps(body) + b"\n\n"


def named_event(body: JsonObject) -> bytes:
    """One event that is named by its own `type`."""
    return b"event: " + str(body["type"]).encode() + b"\ndata: " + orjson.dumps(body) + b"\n\n"
