"""Definitions of tools, whoever wrote them."""

from __future__ import annotations

from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry.dialects.parts import merged, take, with_rest
from tidemill.telemetry.dialects.values import is_list, is_object, unpacked

_PARAMETERS: Final = (
    "parameters",
    "input_schema",
    "inputSchema",
    "parameters_json_schema",
    "parametersJsonSchema",
    "json_schema",
)


def read_tools(value: Json) -> Json:
    """A list of `{"name", "description"?, "parameters"?}`; what is no list of objects comes back, JSON understood."""
    found = unpacked(value)
    if is_object(found):
        found = [found] if "name" in found or "function" in found else found
    if not is_list(found):
        return found
    return [_tool(each) for each in found]


def _tool(value: Json) -> Json:
    found = unpacked(value)
    for name in ("tool", "json_schema"):  # what OpenInference wraps one in
        if is_object(found) and len(found) == 1 and name in found:
            found = unpacked(found[name])
    if not is_object(found):
        return found
    rest = dict(found)
    inner = rest.get("function")
    if is_object(inner):
        del rest["function"]
        rest = merged(rest, inner)
    if not isinstance(rest.get("name"), str):
        return rest
    if rest.get("type") == "function":
        del rest["type"]
    made: dict[str, Json] = {"name": take(rest, "name")}
    if (description := take(rest, "description")) is not None:
        made["description"] = description
    if (parameters := take(rest, *_PARAMETERS)) is not None:
        made["parameters"] = unpacked(parameters)
    return with_rest(made, rest)
