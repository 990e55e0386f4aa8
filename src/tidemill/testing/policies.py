"""A policy for tests of what takes one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tidemill.core.extend import Door


class LetAll:
    """Lets everything through, and remembers what it was asked as (door, target, release, who)."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, str]] = []

    def check(  # the arguments of `PolicyCheck.check`
        self, db: Connection, project: str, *, door: Door, target: str, release: str, who: str, role: str | None = None
    ) -> None:
        """As `PolicyCheck.check`."""
        del db, project, role
        self.asked.append((door, target, release, who))
