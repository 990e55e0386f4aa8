"""Ollama's requests read back into the conversation behind them, and its answers by the shortest way."""

from __future__ import annotations

from models.replay.said import Said, chunks
from tidemill.core.chat import ChatRequest, ToolDefinition
from tidemill.core.parts import Message


def conversation(body: dict, model: str) -> ChatRequest:
    return ChatRequest(
        model=model,
        messages=tuple(Message.of(each["role"], each["content"]) for each in body["messages"]),
        tools=tuple(
            ToolDefinition(name=each["name"], description=each["description"], parameters=each["parameters"])
            for each in (tool["function"] for tool in body.get("tools") or ())
        ),
        params=body.get("options") or {},
    )


def same(body):
    return {name: value for name, value in body.items() if value not in (None, "", [], {})}


def says(row: dict) -> Said:
    said = Said()
    for chunk in chunks(row["response"]):
        message = chunk["message"]
        said.text += message["content"]
        said.reasoning += message.get("thinking", "")
        said.calls += [(each["function"]["name"], each["function"]["arguments"]) for each in message.get("tool_calls", ())]
        if chunk["done"]:
            said.finish = "tool_calls" if said.calls else "stop"
            said.input, said.output = chunk["prompt_eval_count"], chunk["eval_count"]
    return said
