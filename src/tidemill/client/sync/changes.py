# Made by scripts/sync_client.py from src/tidemill/client/changes.py; change that file and run the script.
"""Calls about what differs, what was, and who brought it."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.client.changes import BlameJson, DiffJson, PastJson
from tidemill.client.sync.waiting import Waiting


class ChangeCalls(Waiting):
    """What differs between any two references or points in time; the past of an artifact and of a prompt's lines."""

    def diff(
        self,
        a: str | None = None,
        b: str | None = None,
        *,
        since: str | None = None,
        until: str | None = None,
        zone: str | None = None,
        environment: str | None = None,
        deep: bool = False,
    ) -> DiffJson:
        """What differs from `a` to `b`; or what `a` led to at `since` and at `until` (now); or all that moved since.

        Times are as in `2026-11-17`, `7d`, `last tuesday`, in `zone` or UTC. `deep` follows the references that moved.
        """
        return self._wait(
            lambda: self._client.diff(a, b, since=since, until=until, zone=zone, environment=environment, deep=deep)
        )

    def history(self, ref: str, *, limit: int | None = None) -> Sequence[PastJson]:
        """Every version of an artifact with its past, newest first."""
        return self._wait(lambda: self._client.history(ref, limit=limit))

    def blame(self, prompt: str) -> BlameJson:
        """Each line of a prompt with the version that brought it."""
        return self._wait(lambda: self._client.blame(prompt))
