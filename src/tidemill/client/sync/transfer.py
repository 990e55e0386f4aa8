# Made by scripts/sync_client.py from src/tidemill/client/transfer.py; change that file and run the script.
"""Export and import of a project, as calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tidemill.client.sync.waiting import Waiting
from tidemill.client.transfer import ExportJson, ImportJson


class TransferCalls(Waiting):
    """Calls that take a project elsewhere."""

    def export(self, out: Path, *, only: Sequence[str] = (), since: str | None = None, blobs: bool = True) -> ExportJson:
        """Write the project to a zip file, or to a folder when `out` does not end in `.zip`, which must be missing or empty.

        `only` names artifacts, which come with all that they need; `since` is a time, or a length of time such as 7d.
        """
        return self._wait(lambda: self._client.export(out, only=only, since=since, blobs=blobs))

    def import_(self, source: Path, *, dry_run: bool = False, aliases: bool = False) -> ImportJson:
        """Take in an archive, or a folder that one was unpacked to: all of it or nothing. Waits for it.

        `aliases` moves aliases, `latest`, and what endpoints serve to where the archive has them, through the policies.
        """
        return self._wait(lambda: self._client.import_(source, dry_run=dry_run, aliases=aliases))
