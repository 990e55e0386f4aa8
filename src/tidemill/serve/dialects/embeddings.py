"""`/v1/embeddings`: texts in, vectors out, as numbers or as base64 of 32-bit floats.

https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

import array
import base64
from collections.abc import Sequence
from typing import Final

from tidemill.core.chat import EmbedResponse, Usage
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.models.calls import RawRequest
from tidemill.serve.body import read_body
from tidemill.serve.dialects.fields import needed_text, optional_text, whole_number
from tidemill.serve.dialects.task import JSON_HEADERS, Asked, Headers, Task, TaskCall

_MOST: Final = 2048  # texts in one request, as the dialect says


def _read(content: bytes, _headers: Headers) -> TaskCall:
    body = read_body(content)
    if not body.get("input"):
        raise Invalid("there is no input", where="input", hint="Send text, or a list of texts.")
    encoding = optional_text(body, "encoding_format") or "float"
    if encoding not in {"float", "base64"}:
        raise Invalid(f"encoding_format is {encoding!r}", where="encoding_format", hint="Send float or base64.")
    whole_number(body, "dimensions", least=1)
    raw = RawRequest(dialect="openai.embeddings", body=content, fields=body, headers=JSON_HEADERS)
    shown = body["input"]
    return TaskCall(model=needed_text(body, "model"), raw=raw, shown=shown, user=optional_text(body, "user"))


async def _embed(asked: Asked) -> JsonObject:
    fields = asked.call.fields
    wanted = whole_number(fields, "dimensions", least=1)
    response = await asked.models.embed(
        asked.model,
        _texts(fields["input"]),
        caller=asked.caller,
        span=asked.span,
        dimensions=wanted,
        notes=asked.notes,
        at_door=True,
    )
    if wanted is not None and response.vectors.dimensions != wanted:
        raise Invalid(
            f"{asked.model.ref} gives {response.vectors.dimensions} dimensions, not {wanted}",
            where="dimensions",
            hint="Leave dimensions out.",
        )
    return written(response, model=asked.head.model, as_base64=fields.get("encoding_format") == "base64")


def written(response: EmbedResponse, *, model: str, as_base64: bool) -> JsonObject:
    """The body of a response."""
    vectors = response.vectors
    rows = [vectors.row(index) for index in range(vectors.count)]
    shown: list[Json] = [base64.b64encode(row).decode() if as_base64 else array.array("f", row).tolist() for row in rows]
    data: list[Json] = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(shown)]
    return {"object": "list", "data": data, "model": model, "usage": usage_of(response.usage)}


def usage_of(usage: Usage) -> JsonObject:
    """Tokens of what was read; nothing is written."""
    return {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}


def _texts(given: Json) -> Sequence[str]:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, list):
        raise Invalid("input is neither text nor a list of texts", where="input")
    if len(given) > _MOST:
        raise Invalid(
            f"input has {len(given):,} texts, but {_MOST:,} is the most", where="input", hint="Send several requests."
        )
    found: list[str] = []
    for index, each in enumerate(given):
        if isinstance(each, int | list):
            hint = "Send the texts themselves: only a server of this dialect knows what its tokens mean."
            raise Invalid("tokens cannot be embedded here", where="input", hint=hint)
        if not isinstance(each, str) or not each:
            raise Invalid(f"input[{index}] is not a text with something in it", where=f"input[{index}]")
        found.append(each)
    return found


EMBEDDINGS: Final = Task(
    operation="embeddings", dialect="openai.embeddings", span="embedding", read=_read, here={"embedder": _embed}
)
