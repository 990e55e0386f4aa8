# Made by scripts/sync_client.py from src/tidemill/client/db.py; change that file and run the script.
"""Calls about the database: its state, and a backup of it while its server goes on."""

from __future__ import annotations

from pathlib import Path

from tidemill.client.db import BackupJson, DatabaseJson
from tidemill.client.sync.waiting import Waiting


class DatabaseCalls(Waiting):
    """Look after the database of every project; for its administrators."""

    def database(self) -> DatabaseJson:
        """Which database it is, its schema, its size, its rows by table, and whether it is intact."""
        return self._wait(self._client.database)

    def backup(self, to: Path, *, blobs: bool = True) -> BackupJson:
        """Write a backup of every project to a file (mode 0600), which is there whole and checked, or not at all.

        Raises `Conflict` when the file exists.
        """
        return self._wait(lambda: self._client.backup(to, blobs=blobs))
