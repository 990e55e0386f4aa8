"""Attempts that were denied: each has a line in the audit, and none can fill the disk.

What one caller is denied at one target within a minute has a line at once, and one more with how often it was tried again.
Whoever tries more than a few dozen targets in a minute gets one line for the rest. Attempts by nobody known are one line a
minute for all of them. What is counted and has no line yet is kept in memory: see `Denials.due`.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from tidemill.core.errors import Denied, TidemillError
from tidemill.core.json import JsonObject
from tidemill.store import audit
from tidemill.store.access import Principal
from tidemill.store.database import KeptRefusal
from tidemill.store.projects import SYSTEM

ACTION: Final = "access.denied"
NOBODY: Final = "nobody"
_WINDOW_NS: Final = 60 * 10**9
_TARGETS: Final = 32
_MANY: Final = "many"
_LONGEST: Final = 200


@dataclass(kw_only=True, slots=True)
class Attempt:
    """One request as it goes: who sent it, and why it was denied. `is_hidden`: what was denied answers as missing."""

    principal: Principal | None = None
    why: str = ""
    target: str = ""
    is_hidden: bool = False
    is_kept: bool = False


ATTEMPT: Final[ContextVar[Attempt | None]] = ContextVar("tidemill_attempt", default=None)


def came(principal: Principal) -> None:
    """Say who sends the request that is being answered."""
    attempt = ATTEMPT.get()
    if attempt is not None:
        attempt.principal = principal


def refused(error: TidemillError, *, target: str = "", hidden: bool = False) -> None:
    """Say why the request that is being answered is refused. The first reason stands; errors of other kinds are no denials."""
    attempt = ATTEMPT.get()
    if attempt is None or attempt.why or not (hidden or isinstance(error, Denied)):
        return
    attempt.why, attempt.is_hidden = error.message, hidden
    attempt.target = attempt.target or target
    attempt.is_kept = isinstance(error, KeptRefusal)  # it has its own line


@dataclass(frozen=True, kw_only=True, slots=True)
class Denial:
    """One line to be: `count` attempts of the same kind."""

    project: str
    who: str
    target: str
    detail: JsonObject
    count: int = 1

    def append(self, db: Connection, *, now_ns: int) -> None:
        """Write the line."""
        detail: JsonObject = {**self.detail, "count": self.count}
        audit.append(db, self.project, who=self.who, action=ACTION, target=self.target, detail=detail, now_ns=now_ns)


@dataclass(slots=True)
class _Window:
    """A minute of one (chain, caller)."""

    since_ns: int
    counts: dict[str, int] = field(default_factory=dict[str, int])
    details: dict[str, JsonObject] = field(default_factory=dict[str, JsonObject])


class Denials:
    """What was denied in the last minute. Used from one event loop."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str], _Window] = {}

    def take(self, project: str, *, who: str, target: str, detail: JsonObject, now_ns: int) -> Denial | None:
        """Count an attempt; the line that is to be written at once, if any."""
        window = self._windows.setdefault((project, who), _Window(now_ns))
        if target not in window.counts and len(window.counts) >= _TARGETS:
            target = _MANY
        seen = window.counts.get(target)
        window.details.setdefault(target, detail)
        if seen is None and who != NOBODY:
            window.counts[target] = 0  # the line that is returned now counts it
            return Denial(project=project, who=who, target=target, detail=detail)
        window.counts[target] = (seen or 0) + 1
        return None

    def due(self, *, now_ns: int, everything: bool = False) -> list[Denial]:
        """The lines of the minutes that are over (of all, when everything ends), taken out of memory."""
        found = list[Denial]()
        for key, window in list(self._windows.items()):
            if not everything and 0 <= now_ns - window.since_ns < _WINDOW_NS:
                continue
            del self._windows[key]
            found += [
                Denial(project=key[0], who=key[1], target=target, detail=window.details[target], count=count)
                for target, count in window.counts.items()
                if count
            ]
        return found

    @property
    def is_empty(self) -> bool:
        """Whether nothing is being counted."""
        return not self._windows


def described(attempt: Attempt, *, route: str, status: int) -> tuple[str, str, str, JsonObject]:
    """Chain, caller, target and detail of a denied attempt."""
    principal = attempt.principal
    if principal is None:
        return SYSTEM, NOBODY, "server", {"route": route[:_LONGEST], "why": attempt.why[:_LONGEST], "status": status}
    target = (attempt.target or f"project/{principal.project or 'any'}")[:_LONGEST]
    return (
        principal.project or SYSTEM,
        principal.who,
        target,
        {"route": route[:_LONGEST], "why": attempt.why[:_LONGEST], "status": status},
    )
