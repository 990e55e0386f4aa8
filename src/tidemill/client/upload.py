"""Send what the server does not have yet, by digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread

from tidemill.client.connect import Line
from tidemill.client.files import Collected
from tidemill.core.digests import digest_file
from tidemill.core.errors import Conflict, Invalid

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
            await send_blob(line, file, digest=digest, shown=paths[digest])

    try:
        async with anyio.create_task_group() as tasks:
            for digest in missing:
                tasks.start_soon(send, digest)
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return len(missing)


async def send_blob(line: Line, file: Path, *, digest: str, shown: str) -> None:
    """Send one file, a piece at a time. Raises `Conflict` when it no longer has that digest."""
    try:
        await line.send_file("PUT", f"/blobs/{digest}", file)
    except Invalid as error:
        if await anyio.to_thread.run_sync(digest_file, file) == digest:
            raise
        raise Conflict(f"{shown} changed while it was read", hint="Try again when nothing writes to it.") from error
