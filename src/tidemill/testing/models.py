"""Kits for providers. `connection` leads to a server that answers, `refused` to an address where nothing listens."""

from __future__ import annotations

import anyio

from tidemill.core.chat import ChatDelta, ChatRequest, Connection
from tidemill.core.errors import TidemillError, Unavailable
from tidemill.core.extend import ChatProvider, EmbedProvider
from tidemill.core.parts import Message


def check_chat_provider(
    provider: ChatProvider, *, connection: Connection, model: str, refused: Connection | None = None
) -> None:
    """It answers, whole and streamed, with a finish reason; and says `Unavailable` where nothing listens."""
    anyio.run(_chat, provider, connection, model, refused)


async def _chat(provider: ChatProvider, connection: Connection, model: str, refused: Connection | None) -> None:
    request = ChatRequest(model=model, messages=(Message.of("user", "Say something."),), params={"max_tokens": 8})
    try:
        whole = await provider.chat(request, connection=connection)
        assert whole.message.role == "assistant", "the answer is the assistant's"
        assert whole.finish_reason, "the answer says why it ended"
        pieces: list[ChatDelta] = [delta async for delta in provider.stream(request, connection=connection)]
        assert any(piece.text for piece in pieces), "the stream has text"
        assert any(piece.finish_reason for piece in pieces), "the stream says why it ended"
        if refused is not None:
            try:
                await provider.chat(request, connection=refused)
            except Unavailable:
                pass
            except TidemillError as error:
                raise AssertionError(f"a refused connection is Unavailable, not {error.code}") from error
            else:
                raise AssertionError("a refused connection was not noticed")
    finally:
        await provider.close()


def check_embed_provider(provider: EmbedProvider, *, connection: Connection, model: str) -> None:
    """As many vectors as texts, in order, all of one length, and each the same alone or in a batch."""
    anyio.run(_embed, provider, connection, model)


async def _embed(provider: EmbedProvider, connection: Connection, model: str) -> None:
    texts = ["a red apple", "a green pear", "the stock market fell"]
    try:
        batch = (await provider.embed(texts, model=model, params={}, connection=connection)).vectors
        assert batch.count == len(texts), "one vector a text"
        assert batch.dimensions > 0, "vectors have a length"
        alone = (await provider.embed(texts[1:2], model=model, params={}, connection=connection)).vectors
        assert _near(alone.row(0), batch.row(1)), "a text has the same vector alone and in a batch"
    finally:
        await provider.close()


def _near(a: bytes, b: bytes) -> bool:
    left, right = memoryview(a).cast("f"), memoryview(b).cast("f")
    return all(abs(x - y) < 1e-3 for x, y in zip(left, right, strict=True))
