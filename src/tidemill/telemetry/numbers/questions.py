"""What is asked of numbers: the part of `Telemetry` that answers with sums instead of spans."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from tidemill.core.json import JsonObject
from tidemill.telemetry.costing import Costs
from tidemill.telemetry.engine.protocol import Engine
from tidemill.telemetry.numbers.answer import ask
from tidemill.telemetry.numbers.compare import compare
from tidemill.telemetry.numbers.question import Question
from tidemill.telemetry.privacy.gate import Gate
from tidemill.telemetry.reprice import Repriced, Wanted, reprice
from tidemill.telemetry.rollups.rebuild import Rollups


class NumberQuestions:
    """`rollups` are the numbers that are kept ready; a question reads from the spans what they cannot answer."""

    _engine: Engine
    rollups: Rollups
    costs: Costs
    gate: Gate

    async def _ready(self) -> None:
        raise NotImplementedError

    async def ask_numbers(self, question: Question) -> JsonObject:
        """Series of measures, see `numbers.ask`. Raises `Invalid`, `Unavailable` or `MissingExtra`."""
        await self._ready()
        return await ask(self._engine, self.rollups, question)

    async def compare_numbers(self, a: Question, b: Question) -> JsonObject:
        """What differs between two questions, see `numbers_compare.compare`. Raises as `ask_numbers`."""
        await self._ready()
        return await compare(self._engine, self.rollups, a, b)

    async def reprice(self, wanted: Wanted, *, dry_run: bool = False) -> AsyncGenerator[Repriced]:
        """Give stored spans the cost that today's prices say, see `reprice.reprice`; how far it is, again and again."""
        await self._ready()
        overrides = self.costs.overrides(wanted.project, await self.gate.rules(wanted.project, anew=True))
        async for done in reprice(self._engine, wanted, overrides, dry_run=dry_run):
            yield done
