"""Retrieved and reranked documents, as `[{"id", "document", "text", "score", "metadata"?}]`."""

from __future__ import annotations

from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry.dialects.parts import Part, merged, take, take_text, with_rest
from tidemill.telemetry.dialects.values import is_list, is_object, number, text, unpacked

_SOURCES: Final = ("document", "source", "file_name", "title")


def read_documents(value: Json) -> list[Json] | None:
    """Documents in OpenInference's, OpenTelemetry's, LangChain's, LlamaIndex's and Haystack's forms; None for all else.

    Also within `{"documents": [...]}` or JSON in a text. What is not understood of one stays in it.
    """
    found = unpacked(value)
    if is_object(found) and len(found) == 1 and (inner := found.get("documents") or found.get("nodes")) is not None:
        found = unpacked(inner)
    if not is_list(found) or not found:
        return None
    made: list[Json] = []
    for each in found:
        document = _document(unpacked(each))
        if document is None:
            return None
        made.append(document)
    return made


def _document(value: Json) -> Part | None:
    if isinstance(value, str):
        return {"id": "", "document": "", "text": value, "score": None}
    if not is_object(value):
        return None
    rest = dict(value)
    for name in ("document", "node", "kwargs"):
        inner = rest.get(name)
        if is_object(inner):
            del rest[name]
            rest = merged(rest, inner)
    if not any(name in rest for name in ("content", "text", "page_content", "id", "document_id", "score", "pageContent")):
        return None
    metadata = unpacked(take(rest, "metadata", "meta"))
    content = take(rest, "content", "page_content", "pageContent", "text")
    score = rest.get("score")
    made: Part = {
        "id": take_text(rest, "id", "document_id", "id_", "node_id") or "",
        "document": _source(rest, metadata),
        "text": content if isinstance(content, str) else "",
        "score": number(score),
    }
    if content is not None and not isinstance(content, str):
        rest["content"] = content
    if made["score"] is not None or score is None:
        rest.pop("score", None)
    if metadata is not None and metadata != {}:
        made["metadata"] = metadata
    return with_rest(made, rest)


def _source(rest: Part, metadata: Json) -> str:
    if isinstance(named := rest.get("document"), str):
        del rest["document"]
        return named
    if is_object(metadata):
        return next((text(metadata[name]) or "" for name in _SOURCES if text(metadata.get(name))), "")
    return ""
