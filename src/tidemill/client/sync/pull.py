# Made by scripts/sync_client.py from src/tidemill/client/pull.py; change that file and run the script.
"""Taking registry changes into the project's files: all of them, or none."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.client.pull import PulledJson
from tidemill.client.sync.waiting import Waiting


class PullCalls(Waiting):
    """Calls that write into the project's folder."""

    def pull(self, refs: Sequence[str] = (), *, theirs: bool = False, dry_run: bool = False) -> PulledJson:
        """Write what was changed in the registry into the project's files, of `refs` or of all; comments stay.

        Raises `Conflict` where the files were changed too, unless `theirs`, and when a file changes meanwhile; then nothing is
        written. Nothing is ever written outside of the project's folder.
        """
        return self._wait(lambda: self._client.pull(refs, theirs=theirs, dry_run=dry_run))
