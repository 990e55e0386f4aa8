"""Anthropic's requests read back into the conversation behind them, and its answers by the shortest way."""

from __future__ import annotations

import base64
import json

from models.replay.converse import frames
from models.replay.said import Said, chunks
from tidemill.core.chat import ChatRequest
from tidemill.serve.dialects.messages_read import read_messages_call


def conversation(body: dict, model: str) -> ChatRequest:
    """As our own door reads it."""
    typed = [
        {**each, "content": [{"type": "text", **one} for one in each["content"]]} if isinstance(each["content"], list) else each
        for each in body["messages"]
    ]
    call = read_messages_call({**body, "messages": typed, "model": model})
    params = dict(call.params)
    params.pop("anthropic_version", None)
    if call.user:
        params["user"] = call.user
    params["provider_options"] = {"prompt_cache": False}  # the marks that are placed by themselves were not recorded
    return ChatRequest(
        model=model,
        messages=call.messages,
        tools=call.tools,
        tool_choice=call.tool_choice,
        output_schema=call.output_schema,
        params=params,
        extra=call.extra,
    )


def same(body):
    body = json.loads(json.dumps(body))
    if not body.get("stream"):
        body.pop("stream", None)
    body.pop("anthropic_version", None)
    _same_system(body)
    _same_tools(body)
    if "output_format" in body:
        body.setdefault("output_config", {})["format"] = body.pop("output_format")
    if body.get("thinking") == {"type": "adaptive"} and "effort" in body.get("output_config", {}):
        del body["thinking"]
    turns = []
    for message in body["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        blocks = [_block(each) for each in blocks if each.get("text", "x").strip()]
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": message["role"], "content": blocks})
    for turn in turns:
        turn["content"].sort(key=lambda each: each.get("type") != "tool_result")
    body["messages"] = turns
    return body


def _same_system(body: dict) -> None:
    system = body.pop("system", None)
    if isinstance(system, list) and all(set(each) == {"type", "text"} for each in system):
        system = "\n\n".join(each["text"] for each in system)
    if system:
        body["system"] = system


def _same_tools(body: dict) -> None:
    for tool in body.get("tools", ()):
        if not tool.get("description"):
            tool.pop("description", None)
        if tool.get("type") == "custom":
            del tool["type"]
    if "tools" in body:
        body["tools"].sort(key=lambda each: each["name"])
    if body.get("tool_choice") in ({"type": "auto"}, {"type": "auto", "disable_parallel_tool_use": False}):
        del body["tool_choice"]


def _block(block: dict) -> dict:
    block = {name: value for name, value in block.items() if value is not None}
    block.setdefault("type", "text")
    if block["type"] == "tool_result":
        content = block.get("content", "")
        if isinstance(content, str):
            content = [{"type": "text", "text": content}] if content else []
        block["content"] = [_block(each) for each in content]
        block.setdefault("is_error", False)
    return block


def events(row: dict) -> list[dict]:
    response = row["response"]
    if row["response_encoding"] != "base64":
        return chunks(response)
    return [json.loads(base64.b64decode(event["bytes"])) for name, event in frames(response) if name == "chunk"]


_FINISH = {"tool_use": "tool_calls", "max_tokens": "length", "refusal": "content_filter"}


def says(row: dict) -> Said:
    said, calls = Said(), {}
    if not isinstance(row["response"], str):
        answer = row["response"]
        for block in answer["content"]:
            said.text += block.get("text", "") if block["type"] == "text" else ""
            said.reasoning += block.get("thinking", "")
            if block["type"] == "tool_use":
                said.calls.append((block["name"], block["input"]))
        _used(said, answer["usage"])
        said.finish = _FINISH.get(answer["stop_reason"], "stop")
        return said
    usage = {}
    for event in events(row):
        block, delta = event.get("content_block", {}), event.get("delta", {})
        if block.get("type") == "tool_use":
            calls[event["index"]] = [block["name"], ""]
        said.text += block.get("text", "") if block.get("type") == "text" else ""
        said.text += delta.get("text", "") if delta.get("type") == "text_delta" else ""
        said.reasoning += delta.get("thinking", "")
        if delta.get("type") == "input_json_delta" and event["index"] in calls:
            calls[event["index"]][1] += delta["partial_json"]
        usage.update(event.get("message", {}).get("usage", {}))
        usage.update({name: value for name, value in (event.get("usage") or {}).items() if value is not None})
        if event["type"] == "message_delta":
            said.finish = _FINISH.get(delta["stop_reason"], "stop")
    _used(said, usage)
    said.calls = [(name, json.loads(arguments or "{}")) for name, arguments in calls.values()]
    return said


def _used(said: Said, usage: dict) -> None:
    cached = (usage.get("cache_read_input_tokens") or 0) + (usage.get("cache_creation_input_tokens") or 0)
    said.input = usage.get("input_tokens", 0) + cached
    said.output = usage["output_tokens"]
