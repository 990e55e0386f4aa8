"""The database of every project: its state, and a backup of all of it, while the server goes on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from typing import IO, Any, Final

import anyio.to_thread
from fastapi.responses import StreamingResponse

from tidemill.api.caller import Administrator
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.store.disk import disk_errors
from tidemill.store.upkeep import Place, State, read_state, stream_backup
from tidemill.telemetry.engine.backup import traces_for_backup

outside = Router(tags=["operate"])
_PIECE: Final = 1 << 20


def state_json(state: State) -> dict[str, Any]:
    """A database's state as everyone sees it."""
    shown = asdict(state) | {"pending": list(state.pending), "up_to_date": not state.pending}
    processes = [{**each, "started": iso(int(each["started_ns"]))} for each in state.processes]
    return shown | {"processes": [{name: each[name] for name in ("id", "host", "pid", "started")} for each in processes]}


@outside.get("/database")
async def get_database(call: Administrator) -> dict[str, Any]:
    """Which database it is, its schema's revision, its size, its rows by table, and whether it is intact."""
    platform = call.platform
    place = Place.of(platform.settings)
    return state_json(await anyio.to_thread.run_sync(lambda: read_state(platform.database, place)))


@outside.get("/database/backup")
async def get_backup(
    call: Administrator,
    blobs: bool = True,  # noqa: FBT001, FBT002  (a query parameter)
) -> StreamingResponse:
    """A backup of every project as one zip file: rows of one moment, blobs unless `blobs` is false, traces and keys.

    It holds the platform's private key: keep it where others cannot read it.
    """
    platform = call.platform
    place = Place.of(platform.settings)
    with disk_errors(platform.data):
        file: IO[bytes] = tempfile.TemporaryFile(dir=platform.data)  # noqa: SIM115  (closed when it was sent)
    try:
        async with traces_for_backup(platform.data, platform.telemetry) as traces:
            await anyio.to_thread.run_sync(
                lambda: stream_backup(platform.database, place, file, with_blobs=blobs, traces=traces)
            )
    except BaseException:
        file.close()
        raise
    size = file.tell()
    file.seek(0)
    headers = {"content-disposition": 'attachment; filename="tidemill-backup.zip"', "content-length": str(size)}
    return StreamingResponse(_pieces(file), media_type="application/zip", headers=headers)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece
