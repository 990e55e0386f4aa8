"""`/v1/rerank`: a query and documents in, their order of relevance out, in the form that Cohere and Jina share.

https://docs.cohere.com/reference/rerank · https://api.jina.ai/redoc#tag/rerank
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.models.calls import RawRequest
from tidemill.serve.body import read_body
from tidemill.serve.dialects.embeddings import usage_of
from tidemill.serve.dialects.fields import flag, needed_text, whole_number
from tidemill.serve.dialects.task import JSON_HEADERS, Asked, Headers, Task, TaskCall

_MOST: Final = 1000  # documents in one request


def _read(content: bytes, _headers: Headers) -> TaskCall:
    body = read_body(content)
    query = needed_text(body, "query")
    texts = _texts(body.get("documents"))
    whole_number(body, "top_n", least=1)
    raw = RawRequest(dialect="cohere.rerank", body=content, fields=body, headers=JSON_HEADERS)
    return TaskCall(model=needed_text(body, "model"), raw=raw, shown={"query": query, "documents": [*texts]})


async def _by_embedder(asked: Asked) -> JsonObject:
    """Rank by the cosine of the query's vector and each document's."""
    fields = asked.call.fields
    documents = fields.get("documents")
    texts = _texts(documents)
    response = await asked.models.embed(
        asked.model,
        [needed_text(fields, "query"), *texts],
        caller=asked.caller,
        span=asked.span,
        notes=asked.notes,
        at_door=True,
    )
    vectors = np.frombuffer(response.vectors.data, dtype="<f4").reshape(-1, response.vectors.dimensions)
    lengths = np.linalg.norm(vectors, axis=1)
    scores = (vectors[1:] @ vectors[0]) / np.maximum(lengths[1:] * lengths[0], np.finfo(np.float32).tiny)
    ranked = _ranked([float(each) for each in scores], whole_number(fields, "top_n", least=1))
    shown = documents if flag(fields, "return_documents") and isinstance(documents, Sequence) else None
    return {
        "id": asked.head.id,
        "object": "list",
        "model": asked.head.model,
        "results": [_result(index, score, shown) for index, score in ranked],
        "usage": usage_of(response.usage),
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    }


def _ranked(scores: Sequence[float], most: int | None) -> list[tuple[int, float]]:
    """Documents by their score, best first; those that are equal stay in their order."""
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    return [(index, scores[index] if math.isfinite(scores[index]) else 0.0) for index in order[:most]]


def _result(index: int, score: float, documents: Sequence[Json] | None) -> JsonObject:
    result: JsonObject = {"index": index, "relevance_score": score}
    if documents is None:
        return result
    document = documents[index]
    return {**result, "document": document if isinstance(document, Mapping) else {"text": document}}


def _texts(given: Json) -> list[str]:
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise Invalid("documents is not a list with something in it", where="documents", hint="Send a list of texts.")
    if len(given) > _MOST:
        raise Invalid(f"{len(given):,} documents are too many", where="documents", hint=f"Send {_MOST:,} at most.")
    found: list[str] = []
    for index, each in enumerate(given):
        text = each.get("text") if isinstance(each, Mapping) else each
        if not isinstance(text, str):
            hint = 'Send text, or {"text": …}.'
            raise Invalid(f"documents[{index}] has no text", where=f"documents[{index}]", hint=hint)
        found.append(text)
    return found


RERANK: Final = Task(operation="rerank", dialect="cohere.rerank", span="reranker", read=_read, here={"embedder": _by_embedder})
