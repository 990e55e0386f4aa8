"""What a model wrote as a tool's arguments, for providers that want an object."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import ToolCall


def arguments_of(call: ToolCall) -> JsonObject:
    """The arguments as an object; what a model once wrote and is no JSON object is handed back under a name of its own."""
    try:
        value: Json = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        return {"invalid_json": call.arguments}
    return value if isinstance(value, Mapping) else {"value": value}
