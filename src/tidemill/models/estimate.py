"""How many tokens a text has, as far as can be told without the model's own tokenizer.

Four bytes of UTF-8 a token: what is usual for English, and too many rather than too few for most other languages.
"""

from __future__ import annotations

from typing import Final

from tidemill.core.chat import ChatResponse
from tidemill.core.parts import Media, Message, Other, Reasoning, Refusal, Text, ToolCall
from tidemill.models.calls import Call

_BYTES: Final = 4
_MESSAGE: Final = 4  # tokens that frame a message
_MEDIA: Final = 1000  # tokens of a picture, a page or some seconds of sound


def estimated_tokens(text: str) -> int:
    """Tokens of a text."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // _BYTES)


def estimated_input(call: Call) -> int:
    """Tokens of what is asked."""
    if call.request is not None:
        tools = sum(estimated_tokens(f"{each.name}{each.description}{each.parameters}") for each in call.request.tools)
        return tools + sum(_MESSAGE + _of_message(each) for each in call.request.messages)
    if call.texts:
        return sum(estimated_tokens(each) for each in call.texts)
    return 0 if call.raw is None else -(-len(call.raw.body) // _BYTES)


def estimated_output(response: ChatResponse) -> int:
    """Tokens of an answer, or of as much of it as came."""
    return _of_message(response.message) + sum(_of_message(each.message) for each in response.others)


def _of_message(message: Message) -> int:
    found = 0
    for part in message.parts:
        if isinstance(part, Text | Reasoning | Refusal):
            found += estimated_tokens(part.text)
        elif isinstance(part, ToolCall):
            found += estimated_tokens(part.name) + estimated_tokens(part.arguments)
        elif isinstance(part, Media):
            found += _MEDIA
        elif not isinstance(part, Other):
            found += estimated_tokens(part.content)
    return found
