"""Which part of a server a process is: all of it, the one that owns what there is only one of, or one that serves beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from tidemill.models.limits.counting import Counters
from tidemill.telemetry.store import Others as OtherSpools
from tidemill.telemetry.watch import Histograms, Series


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What another process of the server counted: since its start, and what was looked at just now."""

    values: Mapping[str, Series]
    histograms: Mapping[str, Histograms]
    looked_at: Mapping[str, Series]


class Others(OtherSpools, Protocol):
    """The other processes of a server."""

    async def write_usage(self) -> None:
        """Return when what each of them counted against limits is written."""
        ...

    async def figures(self) -> Sequence[Figures]:
        """What each of them counted."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """`others` are there for the process that owns the span store, jobs and schedules; `name` is given to those that do not.

    `counters` are shared by all of them.
    """

    name: str | None = None
    others: Others | None = None
    counters: Counters | None = None

    @property
    def is_whole(self) -> bool:
        """Whether there are no other processes."""
        return self.name is None and self.others is None


WHOLE = Part()
