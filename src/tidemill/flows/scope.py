"""Running the steps of one list: each begins when what it needs is finished, side by side where nothing forbids it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import anyio

from tidemill.core.errors import TidemillError
from tidemill.core.json import Json
from tidemill.flows.guard import Guard, guard_passages
from tidemill.flows.step import Run, Step, run_step
from tidemill.telemetry import Span


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """Compiled steps. `in_turn` says that never two of them can run at once, so that no task is needed."""

    steps: tuple[Step, ...]
    in_turn: bool
    context_guards: tuple[Guard, ...] = ()

    async def run(
        self,
        values: dict[str, Json],
        *,
        run: Run,
        span: Span,
        prefix: str = "",
        only: frozenset[str] | None = None,
        speaker: str | None = None,
    ) -> None:
        """Run the steps (with `only`, those) and add their outputs to `values`. What the step `speaker` says is the answer."""
        going = _Going(self, values=values, run=run, span=span, prefix=prefix, only=only, speaker=speaker)
        if self.in_turn:
            for step in self.steps:
                if only is None or step.id in only:
                    await going.finish(step)
            return
        try:
            async with anyio.create_task_group() as group:
                await going.start(group)
        except BaseExceptionGroup as failed:
            raise _first(failed) from None


class _Going:
    """One pass through a scope."""

    def __init__(
        self,
        scope: Scope,
        *,
        values: dict[str, Json],
        run: Run,
        span: Span,
        prefix: str,
        only: frozenset[str] | None,
        speaker: str | None,
    ) -> None:
        self.scope = scope
        self.values = values
        self.run = run
        self.span = span
        self.prefix = prefix
        self.only = only
        self.speaker = speaker
        self.left = [len(step.needs) for step in scope.steps]

    async def start(self, group: anyio.abc.TaskGroup) -> None:
        """Begin every step that needs nothing; the others follow."""
        for number, step in enumerate(self.scope.steps):
            if not step.needs and (self.only is None or step.id in self.only):
                group.start_soon(self._follow, number, group)

    async def _follow(self, number: int, group: anyio.abc.TaskGroup) -> None:
        """Run a step, then one of those that waited for it; others that became ready begin beside it."""
        following: int | None = number
        while following is not None:
            step = self.scope.steps[following]
            await self.finish(step)
            following = None
            for each in step.waiting:
                self.left[each] -= 1
                if self.left[each] or (self.only is not None and self.scope.steps[each].id not in self.only):
                    continue
                if following is None:
                    following = each
                else:
                    group.start_soon(self._follow, each, group)

    async def finish(self, step: Step) -> None:
        """Run one step and keep its output."""
        speaks = step.id == self.speaker
        result = await run_step(step, self.values, run=self.run, parent=self.span, prefix=self.prefix, speaks=speaks)
        output = result.output
        if step.action == "retrieve":
            for guard in self.scope.context_guards:
                output = await guard_passages(guard, output, span=self.span)
        self.values[step.id] = output


def runs_in_turn(needs: Sequence[Sequence[int]]) -> bool:
    """Whether the steps, in the order given, can only run one after the other: each needs the one before it."""
    return all(number - 1 in needed for number, needed in enumerate(needs) if number)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error to show: the first that was meant for a user."""
    errors = list(_leaves(group))
    return next((each for each in errors if isinstance(each, TidemillError)), errors[0])


def _leaves(error: BaseException) -> Sequence[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    group = cast("BaseExceptionGroup[BaseException]", error)
    return [leaf for each in group.exceptions for leaf in _leaves(each)]
