"""What every group of synchronous calls stands on: one event loop in a thread, in which the asynchronous client works."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

import anyio
from anyio.abc import ObjectReceiveStream
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tidemill.client.api import AsyncClient
from tidemill.client.retry import RETRIES, TIMEOUT
from tidemill.core.errors import Invalid
from tidemill.core.settings import Settings

T = TypeVar("T")


class Waiting:
    """Opens and closes the asynchronous client, and waits for what it does."""

    def __init__(
        self,
        *,
        url: str | None = None,
        token: str | None = None,
        project: str | None = None,
        data: Path | None = None,
        settings: Settings | None = None,
        retries: int = RETRIES,
        timeout: float = TIMEOUT,
    ) -> None:
        """Take the same arguments as `AsyncClient`."""
        self._client = AsyncClient(
            url=url, token=token, project=project, data=data, settings=settings, retries=retries, timeout=timeout
        )
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal("asyncio"))
            stack.enter_context(portal.wrap_async_context_manager(self._client))
            self._portal, self._stack = portal, stack.pop_all()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._portal = None
        self._stack.__exit__(exc_type, exc_value, traceback)

    def call(self, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
        """Wait for what `work` does with the asynchronous client: several calls at once, say."""
        return self._wait(lambda: work(self._client))

    @property
    def settings(self) -> Settings:
        """Where it looks and what it works on."""
        return self._client.settings

    @property
    def in_process(self) -> bool:
        """Whether the application runs in this process, so that its jobs stop when the client is closed."""
        return self._client.in_process

    @property
    def address(self) -> str:
        """The server's address; the data folder when the application runs in this process."""
        return self._client.address

    def _wait(self, work: Callable[[], Awaitable[T]]) -> T:
        return self._open_portal().call(work)

    def _each(self, make: Callable[[], AsyncIterator[T]]) -> Generator[T]:
        """Each item as it comes. Leaving early stops the source, as closing an asynchronous iterator would."""
        portal = self._open_portal()
        pumping = portal.wrap_async_context_manager(_pumped(make))
        pumped = pumping.__enter__()
        try:
            while True:
                try:
                    item = portal.call(pumped.items.receive)
                except anyio.EndOfStream:
                    break
                yield item
        finally:
            pumping.__exit__(None, None, None)  # given the reader's error, the task group inside would wrap it
        if pumped.failure is not None:
            raise pumped.failure

    def _open_portal(self) -> BlockingPortal:
        if self._portal is None:
            raise Invalid("the client is not open", hint="Write: with Client() as client: …")
        return self._portal


@dataclass(slots=True)
class _Pumped(Generic[T]):
    """Items on their way out of the event loop, and what ended them early."""

    items: ObjectReceiveStream[T]
    failure: Exception | None = field(default=None)


@asynccontextmanager
async def _pumped(make: Callable[[], AsyncIterator[T]]) -> AsyncGenerator[_Pumped[T]]:
    """Run the source in one task from its beginning to its end, so that what it opens is closed where it was opened."""
    into, out = anyio.create_memory_object_stream[T](0)
    pumped = _Pumped(items=out)

    async def pump() -> None:
        async with into:
            try:
                async with aclosing(cast("AsyncGenerator[T]", make())) as source:  # every iterator of the client is one
                    async for item in source:
                        await into.send(item)
            except Exception as error:  # noqa: BLE001  (it is raised where the items are read)
                pumped.failure = error

    async with out, anyio.create_task_group() as tasks:
        tasks.start_soon(pump)
        yield pumped
        tasks.cancel_scope.cancel()
