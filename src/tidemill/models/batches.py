"""Embedding many texts: in batches, a few at once, back in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

import anyio

from tidemill.core.chat import EmbedResponse, Usage, Vectors
from tidemill.core.errors import TidemillError, Unavailable

EmbedBatch: TypeAlias = Callable[[Sequence[str]], Awaitable[EmbedResponse]]

_BATCH_SIZE = 128
_AT_ONCE = 4


class Named(Protocol):
    """Who embeds, as errors name it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...


async def embed_in_batches(texts: Sequence[str], embed: EmbedBatch, *, provider: Named) -> EmbedResponse:
    """Embed with `provider.batch_size` texts a call and `provider.at_once` calls at a time, where it says so.

    The first error stops the other batches and is raised.
    """
    size = int(getattr(provider, "batch_size", _BATCH_SIZE))
    batches = [texts[start : start + size] for start in range(0, len(texts), size)]
    if not batches:
        return EmbedResponse(vectors=Vectors(dimensions=0, data=b""))
    answers: list[EmbedResponse | None] = [None] * len(batches)
    errors: list[TidemillError] = []
    waiting = iter(enumerate(batches))

    async def work() -> None:
        for index, batch in waiting:
            try:
                answers[index] = _checked(await embed(batch), len(batch), provider)
            except TidemillError as error:
                errors.append(error)
                tasks.cancel_scope.cancel()
                return

    async with anyio.create_task_group() as tasks:
        for _ in range(min(int(getattr(provider, "at_once", _AT_ONCE)), len(batches))):
            tasks.start_soon(work)
    if errors:
        raise errors[0]
    return _joined([each for each in answers if each is not None], provider)


def _checked(answer: EmbedResponse, asked: int, provider: Named) -> EmbedResponse:
    if answer.vectors.count != asked:
        raise Unavailable(f"{provider.name} gave {answer.vectors.count} vectors for {asked} texts")
    return answer


def _joined(answers: Sequence[EmbedResponse], provider: Named) -> EmbedResponse:
    widths = sorted({each.vectors.dimensions for each in answers})
    if len(widths) > 1:
        raise Unavailable(f"{provider.name} gave vectors of different lengths: {', '.join(map(str, widths))}")
    return EmbedResponse(
        vectors=Vectors(dimensions=widths[0], data=b"".join(each.vectors.data for each in answers)),
        usage=sum((each.usage for each in answers), Usage()),
        model=answers[0].model,
    )
