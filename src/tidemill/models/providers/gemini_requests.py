"""A chat request in Gemini's words.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import orjson

from tidemill.core.chat import ChatRequest, ToolDefinition
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Media, Message, Other, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from tidemill.models.arguments import arguments_of
from tidemill.models.params import mapped, stops
from tidemill.models.reading import child

NAME: Final = "gemini.generate"
UNNAMED: Final = "call_gemini_"
"""How an id begins that was made here, for a call to which Gemini gave none."""

SEAL: Final = "gemini:"
"""What stands before a signature of Gemini's outside of it, so that nobody else is sent it."""

PARAMS: Final[Mapping[str, str]] = {
    "temperature": "temperature", "top_p": "topP", "top_k": "topK", "max_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens", "stop": "stopSequences", "seed": "seed", "n": "candidateCount",
    "presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty", "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs", "reasoning_effort": "thinkingConfig",
}  # fmt: skip
_BUDGETS: Final[Mapping[str, int]] = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576}
_TOP: Final = frozenset({"safetySettings", "cachedContent", "toolConfig", "labels", "modelArmorConfig", "serviceTier"})
_UNSEALED: Final = "skip_thought_signature_validator"
_CHOICES: Final[Mapping[str, str]] = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def write_request(request: ChatRequest) -> dict[str, Json]:
    """The body of `:generateContent`. The model stands in the address."""
    extra = dict(child(request.extra, NAME))
    body: dict[str, Json] = {"contents": _contents(request.messages, seals="gemini-3" in request.model)}
    system = [_part(part) for each in request.messages if each.role == "system" for part in each.parts if _says(part)]
    if system:
        body["systemInstruction"] = {"parts": system}
    if config := _config(request, body) | dict(child(extra, "generationConfig")):
        body["generationConfig"] = config
    tools: list[Json] = [{"functionDeclarations": [_tool(each) for each in request.tools]}] if request.tools else []
    more = extra.pop("tools", None)
    if isinstance(more, list | tuple):
        tools += more
    if tools:
        body["tools"] = tools
    if request.tools and request.tool_choice:
        body["toolConfig"] = {"functionCallingConfig": _choice(request.tool_choice)}
    extra.pop("generationConfig", None)
    return body | extra


def _config(request: ChatRequest, body: dict[str, Json]) -> dict[str, Json]:
    config = mapped(request.params, PARAMS, provider="gemini")
    body |= {name: config.pop(name) for name in tuple(config) if name in _TOP}
    if "stopSequences" in config:
        config["stopSequences"] = stops(config["stopSequences"])
    effort = config.pop("thinkingConfig", None)
    if isinstance(effort, str):
        config["thinkingConfig"] = _thinking(effort, request.model)
    if request.output_schema is not None:
        config |= {"responseMimeType": "application/json"}
        if request.output_schema != {"type": "object"}:
            config["responseJsonSchema"] = request.output_schema
    return config


def _thinking(effort: str, model: str) -> JsonObject:
    """How long to think: a level from Gemini 3 on, a budget of tokens before."""
    shows: JsonObject = {"includeThoughts": effort not in {"none", "minimal"}}
    if "gemini-3" in model:
        return {**shows, "thinkingLevel": {"none": "minimal", "xhigh": "high", "max": "high"}.get(effort, effort)}
    return {**shows, "thinkingBudget": _BUDGETS.get(effort, 24576)}


def _tool(tool: ToolDefinition) -> JsonObject:
    written: dict[str, Json] = {"name": tool.name, "description": tool.description}
    if tool.parameters:
        written["parametersJsonSchema"] = tool.parameters
    return {**written, **child(tool.extra, NAME)}


def _choice(choice: str) -> JsonObject:
    return {"mode": _CHOICES[choice]} if choice in _CHOICES else {"mode": "ANY", "allowedFunctionNames": [choice]}


def _contents(messages: Iterable[Message], *, seals: bool) -> list[Json]:
    """User and model in turn; what tools answered is the user's, and neighbours of one role are joined.

    `seals`: the first call of each turn has to be sealed. One that was made elsewhere, or came back without its seal, gets the
    text by which Google lets it pass.
    """
    names: dict[str, str] = {}
    turns: list[tuple[str, list[Json]]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "model" if message.role == "assistant" else "user"
        parts = _parts(message.parts, names)
        if seals and role == "model":
            _seal(parts)
        if turns and turns[-1][0] == role and message.role in {"tool", "assistant"}:
            turns[-1][1].extend(parts)
        elif parts:
            turns.append((role, parts))
    return [{"role": role, "parts": parts} for role, parts in turns]


def _seal(parts: list[Json]) -> None:
    for index, part in enumerate(parts):
        if isinstance(part, Mapping) and "functionCall" in part:
            parts[index] = {"thoughtSignature": _UNSEALED, **part}
            return


def _parts(parts: Iterable[Part], names: dict[str, str]) -> list[Json]:
    """Parts in order. A signature seals the part that comes after it; one at the end stands by itself."""
    written: list[Json] = []
    seal: str | None = None
    for part in parts:
        if isinstance(part, Reasoning):
            if seal is not None:
                written.append({"text": "", "thoughtSignature": seal})
            if part.text:
                written.append({"text": part.text, "thought": True})
            seal = part.signature.removeprefix(SEAL) if part.signature and part.signature.startswith(SEAL) else None
            continue
        if not _says(part) and seal is None:
            continue
        if isinstance(part, ToolCall):
            names[part.id] = part.name
        made = _result(part, names) if isinstance(part, ToolResult) else _part(part)
        written.append(made if seal is None else {**made, "thoughtSignature": seal})
        seal = None
    if seal is not None:
        written.append({"text": "", "thoughtSignature": seal})
    return written


def _says(part: Part) -> bool:
    if isinstance(part, Other):
        return part.dialect == NAME
    return not (isinstance(part, Text | Refusal) and not part.text)


def _part(part: Part) -> dict[str, Json]:
    match part:
        case Text() | Refusal():
            return {"text": part.text}
        case ToolCall():
            call: dict[str, Json] = {"name": part.name, "args": arguments_of(part)}
            return {"functionCall": call if part.id.startswith(UNNAMED) else {"id": part.id, **call}}
        case Media():
            return _media(part)
        case Other():
            return dict(part.value)
        case _:
            raise Invalid(f"gemini takes no {part.type} here", hint="Send text, pictures, sound, video and documents.")


def _media(part: Media) -> dict[str, Json]:
    more = child(part.extra, NAME)
    if part.url is not None:
        return {"fileData": {"mimeType": part.media_type, "fileUri": part.url}, **more}
    return {"inlineData": {"mimeType": part.media_type, "data": part.data}, **more}


def _result(result: ToolResult, names: Mapping[str, str]) -> dict[str, Json]:
    """What a tool answered, as the object that Gemini wants; pictures come after it in parts of their own."""
    name = names.get(result.id, result.id)
    try:
        value: Json = orjson.loads(result.content)
    except orjson.JSONDecodeError:
        value = result.content
    if not isinstance(value, Mapping):
        value = {"error" if result.is_error else "result": value}
    answer: dict[str, Json] = {"name": name, "response": value}
    pictures: list[Json] = [_media(each) for each in result.parts if isinstance(each, Media)]
    if pictures:
        answer["parts"] = pictures
    return {"functionResponse": answer if result.id.startswith(UNNAMED) else {"id": result.id, **answer}}
