"""Which path is spoken to in which dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidemill.serve.dialects.chat import Chat
from tidemill.serve.dialects.completions import Completions
from tidemill.serve.dialects.dialect import ChatDialect
from tidemill.serve.dialects.messages import Messages
from tidemill.serve.dialects.responses import Responses

CHAT: Final = Chat()
CHAT_DIALECTS: Final[Mapping[str, ChatDialect]] = {
    "/v1/chat/completions": CHAT,
    "/v1/messages": Messages(),
    "/v1/responses": Responses(),
    "/v1/completions": Completions(),
}
"""By path, what answers with a model's words."""
