"""Brings the tables of the span store to this version's form, whatever was killed on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

_ROW: Final = "INSERT INTO migrations (number, part) VALUES ({number}, '{part}')"

Run: TypeAlias = Callable[[str], None]
Ask: TypeAlias = Callable[[str], Sequence[Sequence[object]]]


class Step:
    """Statements of which all or none are to be run: again from the first, when the process ended before the last.

    `when` is a query of one number; 0 says that the step has been done. It is asked each time, just before.
    """

    __slots__ = ("statements", "when")

    def __init__(self, *statements: str, when: str = "") -> None:
        self.statements = statements
        self.when = when


def migrate(parts: Mapping[str, Sequence[str | Step]], *, tracking: Sequence[str], run: Run, ask: Ask) -> None:
    """Apply what is missing. Raises `RuntimeError` for tables that a newer version made."""
    for statement in tracking:
        run(statement)
    done = {str(part): int(str(number)) for part, number in ask("SELECT part, max(number) FROM migrations GROUP BY part")}
    for part, number in done.items():
        known = len(parts.get(part, ()))
        if number > known:
            raise RuntimeError(
                f"its tables ({part}) are of form {number}, made by a newer Tidemill that knows more than {known}"
            )
    for part, steps in parts.items():
        for number, step in enumerate(steps, start=1):
            if number > done.get(part, 0):
                _apply(step if isinstance(step, Step) else Step(step), run=run, ask=ask)
                run(_ROW.format(number=number, part=part))


def _apply(step: Step, *, run: Run, ask: Ask) -> None:
    if step.when and not ask(step.when)[0][0]:
        return
    for statement in step.statements:
        run(statement)
