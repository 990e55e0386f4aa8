"""Send what the server does not have yet, by digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import anyio
import anyio.to_thread

from tidemill.client.connect import Line
from tidemill.client.files import Collected
from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Conflict

_BATCH, _AT_ONCE = 1000, 4


async def upload(line: Line, collected: Collected) -> int:
    """Upload every collected file that is missing there; how many were sent."""
    wanted = sorted(set(collected.digests.values()))
    missing = list[str]()
    for start in range(0, len(wanted), _BATCH):
        answer = await line.send("POST", "/blobs:missing", body={"digests": wanted[start : start + _BATCH]})
        missing += cast("Mapping[str, Sequence[str]]", answer)["missing"]
    paths = {digest: path for path, digest in collected.digests.items()}
    slots = anyio.Semaphore(_AT_ONCE)

    async def send(digest: str) -> None:
        async with slots:
            file = collected.root / paths[digest]
            content = await anyio.to_thread.run_sync(file.read_bytes)
            if digest_bytes(content) != digest:
                raise Conflict(f"{paths[digest]} changed while it was read", hint="Try again when nothing writes to it.")
            await line.send("PUT", f"/blobs/{digest}", content=content)

    try:
        async with anyio.create_task_group() as tasks:
            for digest in missing:
                tasks.start_soon(send, digest)
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return len(missing)
