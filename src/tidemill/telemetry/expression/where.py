"""Conditions in SQL, and the values that they are bound to."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(kw_only=True, slots=True)
class Where:
    """Conditions that are all to be met. Values never become part of the text: they are bound under names made here."""

    clauses: list[str] = field(default_factory=list[str])
    parameters: dict[str, object] = field(default_factory=dict[str, object])

    def add(self, clause: str, **values: object) -> None:
        """One more condition; `{name}` in it stands for a value, with its ClickHouse type, as in `{name:String}`."""
        for name, value in values.items():
            unique = f"{name}{len(self.parameters)}"
            clause = clause.replace(f"{{{name}:", f"{{{unique}:")
            self.parameters[unique] = value
        self.clauses.append(clause)

    def bind(self, value: object, kind: str) -> str:
        """What stands in the text for a value of a ClickHouse type."""
        name = f"v{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{kind}}}"

    @property
    def sql(self) -> str:
        """All conditions joined."""
        return " AND ".join(f"({each})" for each in self.clauses) or "1"
