"""What an answer may hold that a dialect has no place for. A test holds the writers to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidemill.core.chat import Dialect

NO_PLACE: Final[Mapping[Dialect, tuple[str, ...]]] = {
    "openai.chat": ("seals of thoughts", "blocks of anthropic.messages", "items of openai.responses"),
    "anthropic.messages": ("answers after the first", "log probabilities", "pictures and sound", "items of openai.responses"),
    "openai.responses": ("answers after the first", "pictures and sound", "blocks of anthropic.messages"),
    "openai.completions": ("tool calls", "thoughts", "pictures and sound", "what only one dialect has"),
}
"""By dialect, for an answer that is written anew. What passes on as the provider wrote it loses nothing."""
