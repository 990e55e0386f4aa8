"""Message parts that are held by digest, made ready to be sent."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from msgspec.structs import replace

from tidemill.core.errors import Invalid
from tidemill.core.parts import Media, Message, Part

ReadBlob: TypeAlias = Callable[[str, str], Awaitable[bytes]]
"""(project, digest) to the blob's content."""


async def inline_media(messages: tuple[Message, ...], *, project: str, read_blob: ReadBlob | None) -> tuple[Message, ...]:
    """The messages with every blob's content in place, as base64."""
    if not any(isinstance(part, Media) and part.blob for message in messages for part in message.parts):
        return messages
    if read_blob is None:
        raise Invalid("a part held by digest cannot be sent from here", hint="Give it by url or data.")
    return tuple([await _inlined(each, project, read_blob) for each in messages])


async def _inlined(message: Message, project: str, read_blob: ReadBlob) -> Message:
    parts: list[Part] = []
    for part in message.parts:
        if isinstance(part, Media) and part.blob:
            content = await read_blob(project, part.blob)
            parts.append(replace(part, blob=None, data=base64.b64encode(content).decode("ascii")))
        else:
            parts.append(part)
    return replace(message, parts=tuple(parts))
