"""Policies at the doors: a release goes through when every rule of every policy that protects the target holds."""

from __future__ import annotations

from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.extend import Door


class Policies:
    """Decides at every door; see `tidemill.core.extend.PolicyCheck`."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    def check(
        self,
        db: Connection,
        project: str,
        *,
        door: Door,
        target: str,
        release: str,
        who: str,
        role: str | None = None,
    ) -> None:
        """As `PolicyCheck.check`."""
