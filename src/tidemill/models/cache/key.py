"""What makes two requests the same: the digest of all that changes the answer, and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final, cast

import msgspec

from tidemill.core.chat import ChatRequest
from tidemill.core.digests import canonical
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Text, message_to_json
from tidemill.models.cache.policy import Share, scope_of
from tidemill.models.calls import Call

_FORM: Final = 1
_NO_MATTER: Final = frozenset(
    {
        "user", "metadata", "store", "stream", "stream_options", "service_tier", "safety_identifier", "prompt_cache_key",
        "prompt_cache_retention", "cache_control",
    }
)  # fmt: skip
"""Fields that say who asks, how fast, and what is to be kept, but nothing of the answer."""
_NOT_RAW: Final = _NO_MATTER | {"model"}
_HEADERS: Final = ("anthropic-beta", "openai-beta")


class Key(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`exact` is the digest of a request; `context` that of all but its last `question`, None where that is not plain text."""

    exact: str
    context: str | None = None
    question: str = ""


def key_of(call: Call, request: ChatRequest, *, share: Share, with_context: bool) -> Key | None:
    """The key of a call; None for one that has none, since it holds what no canonical JSON can carry."""
    head, messages = _head(call, request, share), [_message(message_to_json(each)) for each in request.messages]
    try:
        exact = sha256(canonical({**head, "messages": messages})).hexdigest()
        if not with_context or not messages:
            return Key(exact=exact)
        last = request.messages[-1]
        if last.role != "user" or last.extra or not all(isinstance(part, Text) for part in last.parts) or not last.text.strip():
            return Key(exact=exact)
        context = sha256(canonical({**head, "context": messages[:-1]})).hexdigest()
    except Invalid:
        return None
    return Key(exact=exact, context=context, question=last.text)


def _head(call: Call, request: ChatRequest, share: Share) -> dict[str, Json]:
    caller = call.caller
    head: dict[str, Json] = {
        "form": _FORM,
        "operation": call.operation,
        "model": call.model.digest,
        "environment": caller.environment,
        "scope": scope_of(caller, share),
        "params": {name: value for name, value in request.params.items() if name not in _NO_MATTER and value is not None},
        "tools": [_tool(each.name, each.description, each.parameters, each.extra) for each in request.tools],
        "tool_choice": request.tool_choice,
        "schema": request.output_schema,
        "extra": _stripped(request.extra),
    }
    if caller.cache.namespace:
        head["namespace"] = caller.cache.namespace
    if call.model.kind == "route":  # its conditions read who asks
        head["caller"] = [caller.team, caller.endpoint, dict(caller.tags)]
    if call.screen is not None:  # an answer is kept as these guardrails left it
        head["guardrails"] = list(call.screen.digests)
    raw = call.raw
    if raw is not None:
        head["headers"] = [raw.headers.get(name) for name in _HEADERS]
        if raw.refused is not None:  # the request says more than was read
            head["dialect"] = raw.dialect
            head["fields"] = {name: value for name, value in raw.fields.items() if name not in _NOT_RAW}
    return head


def _tool(name: str, description: str, parameters: JsonObject, extra: JsonObject) -> JsonObject:
    written: dict[str, Json] = {"name": name, "description": description, "parameters": parameters}
    if extra and (stripped := _stripped(extra)):
        written["extra"] = stripped
    return written


def _message(written: JsonObject) -> JsonObject:
    """A message without what its parts say of a provider's own cache."""
    content = written["content"]
    if isinstance(content, str) and "extra" not in written:
        return written
    if not isinstance(content, str):
        content = [_part(cast("JsonObject", each)) for each in cast("list[Json]", content)]
        if len(content) == 1 and set(content[0]) == {"type", "text"}:
            content = content[0]["text"]
    extra = _stripped(cast("JsonObject", written.get("extra", {})))
    return {"role": written["role"], "content": content, **({"extra": extra} if extra else {})}


def _part(written: JsonObject) -> JsonObject:
    if "extra" not in written:
        return written
    extra = _stripped(cast("JsonObject", written["extra"]))
    kept = {name: value for name, value in written.items() if name != "extra"}
    return {**kept, "extra": extra} if extra else kept


def _stripped(extra: JsonObject) -> JsonObject:
    """What dialects say besides, without what does not matter."""
    found: dict[str, Json] = {}
    for dialect, fields in extra.items():
        if isinstance(fields, Mapping):
            left = {name: value for name, value in fields.items() if name not in _NO_MATTER}
            if left:
                found[dialect] = left
        else:
            found[dialect] = fields
    return found
