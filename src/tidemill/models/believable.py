"""What a provider says it used, as far as it can be true."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tidemill.core.chat import ChatResponse, Usage

MOST: Final = 32 * 1024 * 1024
"""Tokens of one call: beyond what any model reads or writes."""
_NOTHING: Final = Usage()


def believable(usage: Usage) -> Usage:
    """The same; nothing where a count is impossible, as what lies in one place is not believed in another.

    Whoever counts takes an estimate then, so that a provider that lies can neither use a budget up nor give tokens away.
    """
    if 0 <= usage.input_tokens <= MOST and 0 <= usage.output_tokens <= MOST:
        return usage
    return _NOTHING


def believed(response: ChatResponse) -> ChatResponse:
    """An answer with no more than what can be true of what it used."""
    usage = believable(response.usage)
    return response if usage is response.usage else replace(response, usage=usage)
