"""Which path is spoken to in which dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidemill.core.errors import NotFound
from tidemill.serve.dialects.chat import Chat
from tidemill.serve.dialects.completions import Completions
from tidemill.serve.dialects.count_tokens import COUNT_TOKENS
from tidemill.serve.dialects.dialect import ChatDialect
from tidemill.serve.dialects.embeddings import EMBEDDINGS
from tidemill.serve.dialects.forwarded import IMAGES, SPEECH, TRANSCRIPTIONS
from tidemill.serve.dialects.messages import Messages
from tidemill.serve.dialects.moderations import MODERATIONS
from tidemill.serve.dialects.rerank import RERANK
from tidemill.serve.dialects.responses import Responses
from tidemill.serve.dialects.task import Errors, Task

CHAT: Final = Chat()
CHAT_DIALECTS: Final[Mapping[str, ChatDialect]] = {
    "/v1/chat/completions": CHAT,
    "/v1/messages": Messages(),
    "/v1/responses": Responses(),
    "/v1/completions": Completions(),
}
"""By path, what answers with a model's words."""

TASKS: Final[Mapping[str, Task]] = {
    "/v1/messages/count_tokens": COUNT_TOKENS,
    "/v1/embeddings": EMBEDDINGS,
    "/v1/rerank": RERANK,
    "/v1/moderations": MODERATIONS,
    "/v1/images/generations": IMAGES,
    "/v1/audio/transcriptions": TRANSCRIPTIONS,
    "/v1/audio/speech": SPEECH,
}
"""By path, what else is answered."""

_ERRORS: Final[Mapping[str, Errors]] = {**CHAT_DIALECTS, **{path: task.errors for path, task in TASKS.items()}}


def errors_of(path: str) -> Errors:
    """The shape of the errors at a path."""
    return _ERRORS.get(path, CHAT)


def nothing_at(path: str) -> NotFound:
    """The error for a path that is no door."""
    if path.startswith("/v1/responses/"):
        return NotFound("answers are not kept here", hint="Keep the answer of POST /v1/responses, or find its trace.")
    return NotFound(f"there is no {path}", hint=f"Here are {', '.join((*CHAT_DIALECTS, *TASKS))} and /v1/models.")
