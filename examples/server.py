"""`tidemill up` in a process of its own, on a free port."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio


@asynccontextmanager
async def running_server(folder: Path) -> AsyncIterator[str]:
    """Its address, while the block runs; then it drains and leaves."""
    command = [str(Path(sys.executable).with_name("tidemill")), "up", "--port", "0", "--json", "--no-open"]
    async with await anyio.open_process(command, cwd=folder, stderr=None, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            line = (await process.stdout.receive()).decode()
            yield json.loads(line)["url"]
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()
