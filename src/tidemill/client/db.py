"""Calls about the database: its state, and a backup of it while its server goes on."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypedDict, cast

import anyio
import anyio.to_thread

from tidemill.client.calls import Calls
from tidemill.core.errors import Conflict, Invalid

_SECONDS: Final = 3600.0


class DatabaseJson(TypedDict, total=False):
    """A database's state. `integrity` is `ok` or what is wrong; sizes are in bytes; `tables` are rows by table."""

    database: str
    kind: str
    revision: str | None
    head: str
    pending: Sequence[str]
    up_to_date: bool
    bytes: int
    tables: Mapping[str, int]
    blobs: int
    blob_bytes: int
    integrity: str
    processes: Sequence[Mapping[str, object]]


class BackupJson(TypedDict, total=False):
    """A backup that was written: where, how large, the digest of its manifest, and what is in it."""

    file: str
    bytes: int
    digest: str
    revision: str
    rows: int
    blobs: int


class DatabaseCalls(Calls):
    """Look after the database of every project; for its administrators."""

    async def database(self) -> DatabaseJson:
        """Which database it is, its schema, its size, its rows by table, and whether it is intact."""
        return cast("DatabaseJson", await self._line.send_absolute("GET", "/api/v1/database"))

    async def backup(self, to: Path, *, blobs: bool = True) -> BackupJson:
        """Write a backup of every project to a file (mode 0600), which is there whole and checked, or not at all.

        Raises `Conflict` when the file exists.
        """
        if await anyio.Path(to).exists():
            raise Conflict("there is a file of that name already", where=str(to), hint="Choose another name.")
        if not await anyio.Path(to.parent).is_dir():
            raise Invalid("there is no such folder", where=str(to.parent), hint="Make it first.")
        part = to.with_name(f".{to.name}.{secrets.token_hex(4)}.part")
        try:
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            params = {} if blobs else {"blobs": False}
            size = await self._line.save("/api/v1/database/backup", part, params=params, seconds=_SECONDS)
            summary = await anyio.to_thread.run_sync(_check, part)
            await anyio.Path(part).replace(to)
        finally:
            await anyio.Path(part).unlink(missing_ok=True)
        return {**summary, "file": str(to), "bytes": size}


def _check(part: Path) -> BackupJson:
    from tidemill.store.restore import open_backup  # noqa: PLC0415  (the store's tables, for this alone)

    archive = open_backup(part)
    archive.file.close()
    found = archive.summary
    return {"digest": found.digest, "revision": found.revision, "rows": sum(found.tables.values()), "blobs": found.blobs}
