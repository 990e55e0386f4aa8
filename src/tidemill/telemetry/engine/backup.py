"""The span store's part of a backup: a file for each table, each of one moment, written by the engine.

`putting_back.py` has the way back.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from tidemill.core.errors import Unavailable
from tidemill.telemetry.engine.embedded import EmbeddedEngine
from tidemill.telemetry.engine.protocol import Engine, EngineDied, Refused, is_installed
from tidemill.telemetry.engine.putting_back import ENDING
from tidemill.telemetry.store import Telemetry

_TABLES: Final = (
    "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    " AND name != 'migrations' AND total_rows > 0 ORDER BY name"
)


@asynccontextmanager
async def traces_for_backup(data: Path, telemetry: Telemetry | None = None) -> AsyncGenerator[Path | None]:
    """A folder with a file a table, which goes afterwards; None where no span was kept, or the store is a server elsewhere.

    `telemetry` is that of the server that runs; without one, the store's process is started for this. Raises `Unavailable`.
    """
    if not is_installed() or not any((data / each).is_dir() for each in ("spans", "spool", "spans.restore")):
        yield None
        return
    folder = data / "spans.backup"
    await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))
    try:
        if telemetry is not None:
            yield await _write(telemetry, folder)
        else:
            async with Telemetry(data) as own:
                yield await _write(own, folder)
    finally:
        await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


async def _write(telemetry: Telemetry, folder: Path) -> Path | None:
    if not isinstance(telemetry.engine, EmbeddedEngine):
        return None
    await telemetry.flush(timeout=120)
    await anyio.Path(folder).mkdir(mode=0o700)
    await write_tables(telemetry.engine, folder)
    return folder


async def write_tables(engine: Engine, folder: Path) -> None:
    """Write every table of an embedded store to a file in an empty folder. Raises `Unavailable`."""
    for (table,) in await engine.query(_TABLES, {}):
        target = str(folder / f"{table}{ENDING}")
        try:
            await engine.execute(
                f"INSERT INTO FUNCTION file({{target:String}}, 'Native') SELECT * FROM {table}",  # noqa: S608  (a table of ours)
                {"target": target},
            )
        except (EngineDied, Refused) as error:
            raise Unavailable(f"the traces cannot be written to the backup: {error}", hint="Try again.") from error
