"""What became of a request's spans: how many were taken, which were not and why, and what the sender should know."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

_SHOWN: Final = 5


@dataclass(kw_only=True, slots=True)
class Tally:
    """Counts of one request. `why` are the reasons of what was rejected, `warnings` are about what was taken all the same."""

    accepted: int = 0
    why: Counter[str] = field(default_factory=Counter[str])
    warnings: Counter[str] = field(default_factory=Counter[str])
    values_cut: int = 0
    attributes_dropped: int = 0
    events_dropped: int = 0

    @property
    def rejected(self) -> int:
        """How many were not taken."""
        return self.why.total()

    def reject(self, reason: str) -> None:
        """One was not taken."""
        self.why[reason] += 1

    def warn(self, what: str, count: int = 1) -> None:
        """Something was taken in another form than it came, or looks wrong."""
        self.warnings[what] += count

    @property
    def message(self) -> str:
        """Why some were rejected and what to know of the others, in one text; empty when all is well."""
        parts = [f"rejected {count}: {reason}" for reason, count in self.why.most_common(_SHOWN)]
        if len(self.why) > _SHOWN:
            parts.append(f"and {len(self.why) - _SHOWN} more reasons")
        warnings = Counter(self.warnings)
        warnings["values were too long and were cut"] += self.values_cut
        warnings["attributes were too many and were dropped"] += self.attributes_dropped
        warnings["events or links were too many and were dropped"] += self.events_dropped
        parts += [f"{count} {what}" for what, count in warnings.most_common() if count]
        return "; ".join(parts)
