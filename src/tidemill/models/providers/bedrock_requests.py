"""A chat request in the words of Bedrock's Converse, which are the same for every model there.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import orjson

from tidemill.core.chat import ChatRequest, ToolDefinition
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import File, Image, Media, Message, Other, Part, Reasoning, Refusal, Text, ToolCall, ToolResult, Video
from tidemill.models.arguments import arguments_of
from tidemill.models.params import mapped, stops
from tidemill.models.providers.anthropic_thinking import think
from tidemill.models.reading import child, text

NAME: Final = "bedrock.converse"
_ANTHROPIC: Final = "anthropic.messages"
PARAMS: Final[Mapping[str, str]] = {
    "temperature": "temperature", "top_p": "topP", "max_tokens": "maxTokens", "max_completion_tokens": "maxTokens",
    "stop": "stopSequences", "reasoning_effort": "effort", "top_k": "top_k",
}  # fmt: skip
_INFERENCE: Final = frozenset({"temperature", "topP", "maxTokens", "stopSequences"})
_FORMATS: Final[Mapping[str, str]] = {
    "text/plain": "txt", "text/markdown": "md", "text/html": "html", "text/csv": "csv", "application/pdf": "pdf",
    "application/msword": "doc", "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "video/quicktime": "mov", "video/x-matroska": "mkv", "video/3gpp": "three_gp",
}  # fmt: skip


def write_request(request: ChatRequest) -> dict[str, Json]:
    """The body of `Converse` and `ConverseStream`. The model stands in the address."""
    params = mapped(request.params, PARAMS, provider="bedrock")
    effort = params.pop("effort", None)
    if "stopSequences" in params:
        params["stopSequences"] = stops(params["stopSequences"])
    extra = dict(child(request.extra, NAME))
    body: dict[str, Json] = {"messages": _turns(request.messages)}
    if system := [block for each in request.messages if each.role == "system" for block in _blocks(each.parts)]:
        body["system"] = system
    if inference := {name: value for name, value in params.items() if name in _INFERENCE}:
        body["inferenceConfig"] = inference
    more = {name: value for name, value in params.items() if name not in _INFERENCE}
    more |= _thinking(request, effort, inference)
    if more := {**more, **child(extra, "additionalModelRequestFields")}:
        body["additionalModelRequestFields"] = more
    if tools := _tools(request, extra.pop("tools", None)):
        body["toolConfig"] = tools
    if request.output_schema is not None:
        body["outputConfig"] = _output(request.output_schema)
    extra.pop("additionalModelRequestFields", None)
    return body | extra


def _thinking(request: ChatRequest, effort: Json, inference: JsonObject) -> JsonObject:
    """Anthropic's models think there as at home; for others the effort is left out."""
    said = child(child(request.extra, _ANTHROPIC), "thinking")
    if said:
        return {"thinking": said}
    if not isinstance(effort, str) or "claude" not in request.model:
        return {}
    temperature: JsonObject = {"temperature": inference["temperature"]} if "temperature" in inference else {}
    body: dict[str, Json] = {"model": request.model, "max_tokens": inference.get("maxTokens") or 4096, **temperature}
    made = think(body, effort)
    return {name: made[name] for name in ("thinking", "output_config") if name in made}


def _tools(request: ChatRequest, own: Json) -> dict[str, Json]:
    """The tools and which of them to use. There is no word for `none`: without earlier calls the tools are left away."""
    tools: list[Json] = [{"toolSpec": _tool(each)} for each in request.tools]
    if isinstance(own, list | tuple):
        tools += own
    called = any(isinstance(part, ToolCall) for each in request.messages for part in each.parts)
    if not tools or (request.tool_choice == "none" and not called):
        return {}
    written: dict[str, Json] = {"tools": tools}
    match request.tool_choice:
        case None | "none":
            pass
        case "auto":
            written["toolChoice"] = {"auto": {}}
        case "required":
            written["toolChoice"] = {"any": {}}
        case name:
            written["toolChoice"] = {"tool": {"name": name}}
    return written


def _tool(tool: ToolDefinition) -> JsonObject:
    schema: JsonObject = tool.parameters or {"type": "object", "properties": {}}
    described: JsonObject = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "inputSchema": {"json": schema}, **child(tool.extra, NAME)}


def _output(schema: JsonObject) -> JsonObject:
    if schema == {"type": "object"}:
        hint = "Give the schema of the object: response_format of type json_schema."
        raise Invalid("bedrock has no JSON mode without a schema", where="response_format", hint=hint, kind="invalid")
    described: dict[str, Json] = {"schema": orjson.dumps(schema).decode(), "name": text(schema, "title") or "output"}
    if says := text(schema, "description"):
        described["description"] = says
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": described}}}


def _turns(messages: Sequence[Message]) -> list[Json]:
    """User and assistant in turn; neighbours of one role are joined, and what tools answered stands before the rest."""
    turns: list[tuple[str, list[JsonObject]]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message.parts)
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        elif blocks:
            turns.append((role, blocks))
    return [{"role": role, "content": sorted(blocks, key=_comes_later)} for role, blocks in turns]


def _comes_later(block: JsonObject) -> bool:
    return "toolResult" not in block


def _blocks(parts: Iterable[Part]) -> list[JsonObject]:
    """The parts as blocks; where a client of Anthropic's marks what to cache, a cache point follows."""
    blocks: list[JsonObject] = []
    for part in parts:
        block = _block(part, len(blocks))
        if block is not None:
            blocks.append(block)
        if not isinstance(part, Other) and (kept := child(child(part.extra, _ANTHROPIC), "cache_control")):
            lasting: JsonObject = {"ttl": kept["ttl"]} if kept.get("ttl") else {}
            blocks.append({"cachePoint": {"type": "default", **lasting}})
    return blocks


def _block(part: Part, index: int) -> JsonObject | None:
    match part:
        case Text() | Refusal():
            return {"text": part.text} if part.text.strip() else None
        case ToolCall():
            return {"toolUse": {"toolUseId": part.id, "name": part.name, "input": arguments_of(part)}}
        case ToolResult():
            return {"toolResult": _result(part)}
        case Reasoning():
            return _thought(part)
        case Image() | File() | Video():
            return _media(part, index)
        case Other():
            return part.value if part.dialect == NAME else None
        case _:
            raise Invalid(f"bedrock takes no {part.type}", hint="Send text, images, video and documents.", kind="invalid")


def _thought(part: Reasoning) -> JsonObject | None:
    if part.data is not None:
        return {"reasoningContent": {"redactedContent": part.data}}
    if not part.signature or ":" in part.signature:
        return None
    return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}


def _result(part: ToolResult) -> JsonObject:
    content: list[Json] = [block for index, each in enumerate(part.parts) if (block := _block(each, index)) is not None]
    if not content:
        try:
            value: Json = orjson.loads(part.content)
        except orjson.JSONDecodeError:
            value = None
        content = [{"json": value} if isinstance(value, Mapping) else {"text": part.content}]
    return {"toolUseId": part.id, "content": content, "status": "error" if part.is_error else "success"}


def _media(part: Image | File | Video, index: int) -> JsonObject:
    kind = "document" if isinstance(part, File) else part.type
    ending = _FORMATS.get(part.media_type) or part.media_type.partition("/")[2].removeprefix("x-")
    name: JsonObject = {"name": _plain(part.name) or f"Document {index + 1}"} if isinstance(part, File) else {}
    return {kind: {"format": ending, **name, "source": _source(part)}}


def _source(part: Media) -> JsonObject:
    if part.url is None:
        return {"bytes": part.data}
    if part.url.startswith("s3://"):
        return {"s3Location": {"uri": part.url}}
    hint = "Give it by data or blob, or as s3://BUCKET/KEY."
    raise Invalid("bedrock fetches nothing from the web", hint=hint, kind="invalid")


def _plain(name: str | None) -> str:
    """A document's name in the letters that are allowed there."""
    return " ".join("".join(each if each.isalnum() or each in "-()[]" else " " for each in name or "").split())
