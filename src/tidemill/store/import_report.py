"""What an import may do, and what it did."""

from __future__ import annotations

from dataclasses import dataclass, field

from tidemill.core.json import JsonObject


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """How an archive is taken in: by whom, when, and whether aliases and endpoints move."""

    by: str
    now_ns: int
    role: str | None = None
    moves: bool = False


@dataclass(slots=True)
class Report:
    """What an import did: how many rows it `added` and found the `same`, by table, and which versions got another number.

    `kept` is configuration that says otherwise here and stays; `moved` are names that moved, `not_moved` those that would.
    """

    added: dict[str, int] = field(default_factory=dict[str, int])
    same: dict[str, int] = field(default_factory=dict[str, int])
    renumbered: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    kept: list[str] = field(default_factory=list[str])
    moved: list[str] = field(default_factory=list[str])
    not_moved: list[str] = field(default_factory=list[str])

    def count(self, table: str, *, is_new: bool) -> None:
        """Note one row."""
        counts = self.added if is_new else self.same
        counts[table] = counts.get(table, 0) + 1

    def as_json(self) -> JsonObject:
        """The report as the API answers it."""
        return {
            "added": dict(self.added), "same": dict(self.same), "renumbered": [dict(each) for each in self.renumbered],
            "kept": list(self.kept), "moved": list(self.moved), "not_moved": list(self.not_moved),
        }  # fmt: skip
