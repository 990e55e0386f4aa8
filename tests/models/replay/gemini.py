"""Gemini's requests read back into the conversation behind them, and its answers by the shortest way."""

from __future__ import annotations

import json
import re

from models.replay.said import Said, chunks
from tidemill.core.chat import ChatRequest, ToolDefinition
from tidemill.core.parts import Audio, File, Image, Message, Other, Reasoning, Text, ToolCall, ToolResult, Video
from tidemill.models.providers.gemini_requests import NAME, SEAL, UNNAMED

_PARAMS = {
    "temperature": "temperature", "topP": "top_p", "topK": "top_k", "maxOutputTokens": "max_tokens", "seed": "seed",
    "stopSequences": "stop", "responseLogprobs": "logprobs", "logprobs": "top_logprobs", "max_output_tokens": "max_tokens",
}  # fmt: skip
_TYPES = {1: "string", 2: "number", 3: "integer", 4: "boolean", 5: "array", 6: "object"}
_MODES = {"AUTO": "auto", "ANY": "required", "NONE": "none"}


def conversation(body: dict, model: str) -> ChatRequest:
    body = camel(body)
    rest = {name: value for name, value in body.items() if name not in {"contents", "systemInstruction", "generationConfig"}}
    config = dict(body.get("generationConfig") or {})
    schema = config.pop("responseJsonSchema", None)
    if schema:
        config.pop("responseMimeType")
    params = {_PARAMS[name]: config.pop(name) for name in tuple(config) if name in _PARAMS}
    if config:
        rest["generationConfig"] = config
    tools = rest.pop("tools", [])
    tools = [tools] if isinstance(tools, dict) else tools
    own = [each for each in tools if "functionDeclarations" not in each]
    if own:
        rest["tools"] = own
    return ChatRequest(
        model=model,
        messages=tuple(_messages(body)),
        tools=tuple(_tool(each) for one in tools for each in one.get("functionDeclarations", ())),
        tool_choice=_choice(rest),
        params=params,
        output_schema=schema,
        extra={NAME: rest} if rest else {},
    )


def _choice(rest: dict) -> str | None:
    config = rest.get("toolConfig", {})
    calling = config.get("functionCallingConfig", {})
    names = calling.get("allowedFunctionNames", [])
    if set(config) != {"functionCallingConfig"} or calling.get("mode") not in _MODES or len(names) > 1:
        return None
    del rest["toolConfig"]
    return names[0] if names else _MODES[calling["mode"]]


def _tool(tool: dict) -> ToolDefinition:
    schema = tool.get("parametersJsonSchema") or tool.get("parameters") or {}
    return ToolDefinition(name=tool["name"], description=tool.get("description", ""), parameters=schema)


def _messages(body: dict):
    if system := body.get("systemInstruction"):
        yield Message(role="system", parts=tuple(Text(text=each["text"]) for each in system["parts"]))
    unnamed: list[tuple[str, str]] = []
    for content in body["contents"]:
        parts = []
        for part in content.get("parts", ()):
            if "thoughtSignature" in part:
                parts.append(Reasoning(signature=SEAL + part["thoughtSignature"]))
            parts.append(_part(part, unnamed))
        role = "assistant" if content["role"] == "model" else "user"
        yield Message(role=role, parts=tuple(parts))


def _part(part: dict, unnamed: list):
    if "text" in part:
        return Text(text=part["text"])
    if call := part.get("functionCall"):
        call_id = call.get("id")
        if call_id is None:
            call_id = f"{UNNAMED}{len(unnamed)}"
            unnamed.append((call["name"], call_id))
        return ToolCall(id=call_id, name=call["name"], arguments=json.dumps(call.get("args", {})))
    if answer := part.get("functionResponse"):
        call_id = answer.get("id")
        if call_id is None:
            found = next(each for each in unnamed if each[0] == answer["name"])
            unnamed.remove(found)
            unnamed.append(("", ""))
            call_id = found[1]
        return ToolResult(id=call_id, content=json.dumps(answer["response"]))
    if data := part.get("inlineData"):
        return _media(data["mimeType"])(media_type=data["mimeType"], data=data["data"])
    if file := part.get("fileData"):
        return _media(file["mimeType"])(media_type=file["mimeType"], url=file["fileUri"])
    return Other(dialect=NAME, value=part)


def _media(kind: str):
    return {"image": Image, "audio": Audio, "video": Video}.get(kind.partition("/")[0], File)


def camel(value, *, within: str = ""):
    """Keys in one of the two ways in which Google takes them; what tools and schemas name stays."""
    if within in {"args", "response", "parameters", "parametersJsonSchema", "responseJsonSchema", "responseSchema"}:
        return value
    if isinstance(value, list):
        return [camel(each, within=within) for each in value]
    if isinstance(value, dict):
        names = {name: re.sub(r"_([a-z])", lambda found: found[1].upper(), name) for name in value}
        return {names[name]: camel(each, within=names[name]) for name, each in value.items()}
    return value


def same(body):
    """Without what says nothing: an empty configuration, the role of the system, how a schema's types are written."""
    body = camel(body)
    if body.get("generationConfig") == {}:
        del body["generationConfig"]
    if "systemInstruction" in body:
        body["systemInstruction"].pop("role", None)
    tools = body.pop("tools", [])
    tools = [tools] if isinstance(tools, dict) else tools
    for each in tools:
        for declared in each.get("functionDeclarations", ()):
            schema = declared.pop("parametersJsonSchema", None) or declared.pop("parameters", None)
            declared.pop("parameters", None)
            schema = plain(schema or {"type": "object", "properties": {}})
            declared["schema"] = schema
            declared.setdefault("description", "")
    if tools:
        body["tools"] = sorted(tools, key=json.dumps)
    for content in body["contents"]:
        content["parts"] = [each for each in content.get("parts", ()) if each.get("text") != "" or "thoughtSignature" in each]
    body["contents"] = [each for each in body["contents"] if each["parts"]]
    return body


def plain(schema):
    if isinstance(schema, list):
        return [plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: (_TYPES.get(value, value).lower() if name == "type" and isinstance(value, int | str) else plain(value))
        for name, value in schema.items()
    }


def says(row: dict) -> Said:
    said = Said()
    for chunk in chunks(row["response"]):
        for candidate in chunk.get("candidates", ())[:1]:
            for part in candidate.get("content", {}).get("parts", ()):
                if part.get("thought"):
                    said.reasoning += part["text"]
                else:
                    said.text += part.get("text", "")
                if call := part.get("functionCall"):
                    said.calls.append((call["name"], call.get("args", {})))
            if "finishReason" in candidate:
                blocked = candidate["finishReason"] == "MODEL_ARMOR"
                said.finish = "content_filter" if blocked else "tool_calls" if said.calls else "stop"
        usage = chunk.get("usageMetadata", {})
        if usage:
            said.input = usage.get("promptTokenCount", 0) + usage.get("toolUsePromptTokenCount", 0)
            said.output = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
    return said
