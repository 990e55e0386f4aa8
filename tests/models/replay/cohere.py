"""Cohere's requests read back into the conversation behind them, and its answers by the shortest way."""

from __future__ import annotations

from models.replay.said import Said, chunks, loaded
from tidemill.core.chat import ChatRequest, ToolDefinition
from tidemill.core.parts import Message, Reasoning, Text, ToolCall, ToolResult

_PARAMS = {"temperature": "temperature", "p": "top_p", "k": "top_k", "max_tokens": "max_tokens", "stop_sequences": "stop"}
_FINISH = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "TOOL_CALL": "tool_calls", "MAX_TOKENS": "length"}


def conversation(body: dict, model: str) -> ChatRequest:
    return ChatRequest(
        model=model,
        messages=tuple(map(_message, body["messages"])),
        tools=tuple(
            ToolDefinition(name=each["name"], description=each.get("description", ""), parameters=each["parameters"])
            for each in (tool["function"] for tool in body.get("tools") or ())
        ),
        tool_choice=body["tool_choice"].lower() if body.get("tool_choice") else None,
        params={_PARAMS[name]: value for name, value in body.items() if name in _PARAMS and value is not None},
    )


def _message(message: dict) -> Message:
    content = message.get("content")
    if message["role"] == "tool":
        return Message(role="tool", parts=(ToolResult(id=message["tool_call_id"], content=content),))
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    parts = [Reasoning(text=each["thinking"]) if each["type"] == "thinking" else Text(text=each["text"]) for each in blocks]
    calls = [
        ToolCall(id=each["id"], name=each["function"]["name"], arguments=each["function"]["arguments"])
        for each in message.get("tool_calls") or ()
    ]
    return Message(role=message["role"], parts=(*parts, *calls))


def same(body):
    body = {name: value for name, value in body.items() if value is not None}
    body.setdefault("stream", False)
    body["messages"] = [{name: value for name, value in each.items() if value is not None} for each in body["messages"]]
    for each in body.get("tools", ()):
        each["function"].setdefault("description", "")
    return body


def says(row: dict) -> Said:
    response, said = row["response"], Said()
    if not isinstance(response, str):
        message = response["message"]
        said.reasoning = message.get("tool_plan", "")
        for block in message.get("content") or ():
            said.text += block.get("text", "")
            said.reasoning += block.get("thinking", "")
        said.calls = [
            (each["function"]["name"], loaded(each["function"]["arguments"])) for each in message.get("tool_calls", ())
        ]
        _ends(said, response)
        return said
    calls = {}
    for event in chunks(response):
        delta = event.get("delta", {})
        message = delta.get("message", {})
        content = message.get("content") or {}
        if isinstance(content, dict):
            said.text += content.get("text", "")
            said.reasoning += content.get("thinking", "")
        said.reasoning += message.get("tool_plan", "")
        call = message.get("tool_calls")
        if isinstance(call, dict):
            made = calls.setdefault(event["index"], ["", ""])
            made[0] += call["function"].get("name", "")
            made[1] += call["function"].get("arguments", "")
        if event["type"] == "message-end":
            _ends(said, delta)
    said.calls = [(name, loaded(arguments)) for name, arguments in calls.values()]
    return said


def _ends(said: Said, answer: dict) -> None:
    said.finish = _FINISH[answer["finish_reason"]]
    said.input = answer["usage"]["tokens"]["input_tokens"]
    said.output = answer["usage"]["tokens"]["output_tokens"]
