"""Converse's requests read back into the conversation behind them, and its answers by the shortest way."""

from __future__ import annotations

import base64
import json
import struct

from models.replay.said import Said
from tidemill.core.chat import ChatRequest, ToolDefinition
from tidemill.core.parts import File, Image, Message, Other, Reasoning, Text, ToolCall, ToolResult
from tidemill.models.providers.bedrock_requests import NAME

_PARAMS = {"temperature": "temperature", "topP": "top_p", "maxTokens": "max_tokens", "stopSequences": "stop"}
_TYPES = {"txt": "text/plain", "pdf": "application/pdf"}


def conversation(body: dict, model: str) -> ChatRequest:
    extra = {name: value for name, value in body.items() if name not in _READ}
    more = body.get("additionalModelRequestFields") or {}
    config = body.get("toolConfig") or {}
    tools = [each["toolSpec"] for each in config.get("tools", ()) if "toolSpec" in each]
    own = [each for each in config.get("tools", ()) if "toolSpec" not in each]
    if own:
        extra["tools"] = own
    schema = None
    if output := body.get("outputConfig"):
        schema = json.loads(output["textFormat"]["structure"]["jsonSchema"]["schema"])
    if more:
        extra["additionalModelRequestFields"] = more
    return ChatRequest(
        model=model,
        messages=tuple(_messages(body)),
        tools=tuple(
            ToolDefinition(
                name=each["name"],
                description=each.get("description", ""),
                parameters=each["inputSchema"]["json"],
                extra={NAME: {"strict": each["strict"]}} if "strict" in each else {},
            )
            for each in tools
        ),
        tool_choice=_choice(config.get("toolChoice")),
        params={_PARAMS[name]: value for name, value in (body.get("inferenceConfig") or {}).items()},
        output_schema=schema,
        extra={NAME: extra} if extra else {},
    )


_READ = {"messages", "system", "inferenceConfig", "toolConfig", "outputConfig", "additionalModelRequestFields"}


def _choice(choice: dict | None) -> str | None:
    if not choice:
        return None
    return {"auto": "auto", "any": "required"}.get(next(iter(choice)), choice.get("tool", {}).get("name"))


def _messages(body: dict):
    if system := body.get("system"):
        yield Message(role="system", parts=tuple(map(_part, system)))
    for each in body["messages"]:
        yield Message(role=each["role"], parts=tuple(map(_part, each["content"])))


def _part(block: dict):
    if "text" in block:
        return Text(text=block["text"])
    if call := block.get("toolUse"):
        return ToolCall(id=call["toolUseId"], name=call["name"], arguments=json.dumps(call["input"]))
    if result := block.get("toolResult"):
        first = result["content"][0]
        content = first["text"] if "text" in first else json.dumps(first["json"])
        return ToolResult(id=result["toolUseId"], content=content, is_error=result.get("status") == "error")
    if thought := block.get("reasoningContent"):
        return Reasoning(text=thought["reasoningText"]["text"], signature=thought["reasoningText"].get("signature"))
    if document := block.get("document"):
        return File(media_type=_TYPES[document["format"]], data=document["source"]["bytes"], name=document["name"])
    if picture := block.get("image"):
        return Image(media_type=f"image/{picture['format']}", data=picture["source"]["bytes"])
    return Other(dialect=NAME, value=block)


def same(body):
    body = json.loads(json.dumps(body))
    for name in ("system", "inferenceConfig", "additionalModelRequestFields"):
        if not body.get(name):
            body.pop(name, None)
    for each in (body.get("toolConfig") or {}).get("tools", ()):
        if "toolSpec" in each:
            each["toolSpec"].setdefault("description", "")
    if output := body.get("outputConfig"):
        described = output["textFormat"]["structure"]["jsonSchema"]
        body["outputConfig"] = json.loads(described["schema"])
    turns = []
    for message in body["messages"]:
        for block in message["content"]:
            if "toolResult" in block:
                block["toolResult"].setdefault("status", "success")
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1]["content"] += message["content"]
        else:
            turns.append(message)
    body["messages"] = turns
    return body


def frames(content: str):
    """Event type and JSON of each frame, by the lengths alone."""
    data = base64.b64decode(content)
    at = 0
    while at < len(data):
        size, head = struct.unpack_from(">II", data, at)
        headers = data[at + 12 : at + 12 + head]
        start = headers.index(b":event-type") + len(":event-type") + 3
        name = headers[start : start + headers[start - 1]].decode()
        yield name, json.loads(data[at + 12 + head : at + size - 4])
        at += size


def says(row: dict) -> Said:
    response = row["response"]
    if isinstance(response, str):
        return _streamed(response)
    said = Said()
    for block in response["output"]["message"]["content"]:
        said.text += block.get("text", "")
        said.reasoning += block.get("reasoningContent", {}).get("reasoningText", {}).get("text", "")
        if call := block.get("toolUse"):
            said.calls.append((call["name"], call["input"]))
    _used(said, response["usage"])
    said.finish = _finish(response["stopReason"])
    return said


def _streamed(response: str) -> Said:
    said, inputs = Said(), {}
    for name, event in frames(response):
        delta = event.get("delta", {})
        if name == "contentBlockStart" and "toolUse" in event["start"]:
            inputs[event["contentBlockIndex"]] = [event["start"]["toolUse"]["name"], ""]
        said.text += delta.get("text", "")
        said.reasoning += delta.get("reasoningContent", {}).get("text", "")
        if "toolUse" in delta:
            inputs[event["contentBlockIndex"]][1] += delta["toolUse"]["input"]
        if name == "messageStop":
            said.finish = _finish(event["stopReason"])
        if name == "metadata":
            _used(said, event["usage"])
    said.calls = [(name, json.loads(arguments or "{}")) for name, arguments in inputs.values()]
    return said


def _used(said: Said, usage: dict) -> None:
    said.output = usage["outputTokens"]
    said.input = usage["totalTokens"] - usage["outputTokens"]


def _finish(reason: str) -> str:
    return {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls", "max_tokens": "length"}.get(
        reason, "content_filter"
    )
