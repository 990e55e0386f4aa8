"""Requests of OpenAI's dialect read back into the conversation behind them, and its answers by the shortest way."""

from __future__ import annotations

from models.replay.said import Said, chunks, loaded
from tidemill.core.chat import ChatRequest
from tidemill.serve.chat_request import read_chat_call


def conversation(body: dict, model: str) -> ChatRequest:
    """As our own door reads it."""
    tools = [{"type": "function", **each} for each in body.get("tools") or ()]
    choice = "required" if body.get("tool_choice") == "any" else body.get("tool_choice")
    call = read_chat_call({**body, "model": model or "m", "tools": tools or None, "tool_choice": choice})
    params = dict(call.params)
    if body.get("stop") is not None:
        params["stop"] = body["stop"]
    if call.user:
        params["user"] = call.user
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
    """Without nulls, and with one word for what has two."""
    body = _full(body)
    body.pop("stream_options", None)
    if not body.get("stream"):
        body.pop("stream", None)
    for old, new in (("max_completion_tokens", "max_tokens"), ("random_seed", "seed")):
        if old in body:
            body[new] = body.pop(old)
    if body.get("n") == 1:
        del body["n"]
    if isinstance(body.get("stop"), str):
        body["stop"] = [body["stop"]]
    if body.get("tool_choice") == "any":
        body["tool_choice"] = "required"
    if isinstance(body.get("tool_choice"), dict):
        body["tool_choice"] = body["tool_choice"]["function"]["name"]
    if described := body.get("response_format", {}).get("json_schema"):
        body["response_format"] = described["schema"]
    _same_tools(body)
    body["messages"] = [_message(each) for each in body["messages"]]
    return body


def _same_tools(body: dict) -> None:
    for tool in body.get("tools", ()):
        tool["type"] = "function"
        tool.pop("cache_control", None)
        function = tool.get("function", {})
        function.pop("strict", None)
        function.setdefault("description", "")
        function.setdefault("parameters", {"type": "object", "properties": {}})
    if not body.get("tools"):
        body.pop("tools", None)
        body.pop("tool_choice", None)
        body.pop("parallel_tool_calls", None)


def _full(value):
    if isinstance(value, list):
        return [_full(each) for each in value]
    if isinstance(value, dict):
        return {name: _full(each) for name, each in value.items() if each is not None}
    return value


def _message(message: dict) -> dict:
    if message["role"] == "developer":
        message["role"] = "system"
    content = message.get("content")
    if isinstance(content, list) and all(each.get("type") == "text" and set(each) == {"type", "text"} for each in content):
        content = "".join(each["text"] for each in content)
    message["content"] = content or ""
    for call in message.get("tool_calls", ()):
        call.pop("index", None)
        call["type"] = "function"
    if not message.get("tool_calls"):
        message.pop("tool_calls", None)
    return message


_FINISH = {"length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls", "content_filter": "content_filter"}


def says(row: dict) -> Said:
    said, calls = Said(), {}
    streamed = isinstance(row["response"], str)
    for event in chunks(row["response"]):
        for choice in event.get("choices", []):
            if choice.get("index"):
                continue
            piece = choice.get("delta") if streamed else choice.get("message")
            piece = piece or {}
            content = piece.get("content") or ""
            if isinstance(content, list):
                said.reasoning += "".join(
                    each["thinking"] if isinstance(each["thinking"], str) else "".join(one["text"] for one in each["thinking"])
                    for each in content
                    if each["type"] == "thinking"
                )
                content = "".join(each.get("text", "") for each in content if each["type"] == "text")
            said.text += content or piece.get("refusal") or ""
            said.reasoning += piece.get("reasoning_content") or piece.get("reasoning") or ""
            for place, call in enumerate(piece.get("tool_calls") or ()):
                made = calls.setdefault(call.get("index") if streamed else place, ["", ""])
                made[0] += call["function"].get("name") or ""
                made[1] += call["function"].get("arguments") or ""
            reason = choice.get("finish_reason")
            said.finish = _FINISH.get(reason, "stop") if reason else said.finish
        usage = event.get("usage") or (event.get("x_groq") or {}).get("usage") or {}
        said.input = usage.get("prompt_tokens") or said.input
        said.output = usage.get("completion_tokens") or said.output
    said.calls = [(name, loaded(arguments)) for name, arguments in calls.values()]
    if said.calls and said.finish in {None, "stop"}:
        said.finish = "tool_calls"
    said.finish = said.finish or "stop"
    return said
