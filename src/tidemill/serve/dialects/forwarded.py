"""`/v1/images/generations`, `/v1/audio/transcriptions`, `/v1/audio/speech`: passed on as written.

https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

from typing import Final

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.models.calls import RawRequest
from tidemill.serve.body import read_body
from tidemill.serve.dialects.fields import flag, needed_text, optional_text
from tidemill.serve.dialects.multipart import Form
from tidemill.serve.dialects.task import JSON_HEADERS, Headers, Task, TaskCall

_LARGEST_FILE: Final = 32 * 2**20


def _read_image(content: bytes, _headers: Headers) -> TaskCall:
    body = read_body(content)
    prompt = needed_text(body, "prompt")
    raw = RawRequest(dialect="openai.images", body=content, fields=body, headers=JSON_HEADERS, stream=flag(body, "stream"))
    return TaskCall(model=needed_text(body, "model"), raw=raw, shown=prompt, user=optional_text(body, "user"))


def _read_speech(content: bytes, _headers: Headers) -> TaskCall:
    """Sound comes as it is made, so it is always a stream."""
    body = read_body(content)
    spoken = needed_text(body, "input")
    raw = RawRequest(dialect="openai.speech", body=content, fields=body, headers=JSON_HEADERS, stream=True)
    return TaskCall(model=needed_text(body, "model"), raw=raw, shown={"input": spoken, "voice": body.get("voice")})


def _read_transcription(content: bytes, headers: Headers) -> TaskCall:
    content_type = headers.get("content-type", "")
    form = Form(content, content_type=content_type)
    file = form.file("file")
    model = form.text("model")
    if not model:
        raise Invalid("model is missing", where="model", hint="See GET /v1/models.")
    said: dict[str, Json] = {
        each.name: form.text(each.name) for each in form.parts if each.filename is None and not each.name.endswith("[]")
    }
    fields: JsonObject = {**said, "file": {"name": file.filename, "bytes": file.end - file.start}}
    raw = RawRequest(
        dialect="openai.transcriptions",
        body=content,
        fields=fields,
        headers={"content-type": content_type},
        stream=form.text("stream") == "true",
        rename=lambda name: form.with_text("model", name),
    )
    return TaskCall(model=model, raw=raw, shown=fields)


IMAGES: Final = Task(operation="images", dialect="openai.images", span="llm", read=_read_image)
TRANSCRIPTIONS: Final = Task(
    operation="transcriptions",
    dialect="openai.transcriptions",
    span="llm",
    read=_read_transcription,
    largest=_LARGEST_FILE,
)
SPEECH: Final = Task(operation="speech", dialect="openai.speech", span="llm", read=_read_speech)
