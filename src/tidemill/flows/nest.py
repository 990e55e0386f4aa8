"""Steps that hold other steps: branches, chains inside chains, and a value that stands in for a step that failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tidemill.core.conditions import Condition
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import SpanKind
from tidemill.flows.application import Application
from tidemill.flows.scope import Scope
from tidemill.flows.step import Call, Outcome, Run
from tidemill.flows.values import Values


@dataclass(frozen=True, kw_only=True, slots=True)
class Branch:
    """One way to go. Without a condition it is taken when no other was; it gives what its last step as written gives."""

    when: Condition | None
    scope: Scope
    last: str


class BranchWork:
    """Takes the first branch whose condition holds; none gives null."""

    span_kind: SpanKind = "chain"
    digest: str | None = None

    def __init__(self, branches: Sequence[Branch]) -> None:
        self.branches = tuple(branches)

    async def variation(self, run: Run) -> Sequence[Json]:  # noqa: ARG002  (the Protocol's argument)
        """Nothing: its steps are cached, each by itself."""
        return ()

    async def work(self, inputs: JsonObject, call: Call) -> Outcome:  # noqa: ARG002  (the Protocol's argument)
        """Run the branch's steps; they see every name around the branch."""
        for number, branch in enumerate(self.branches):
            if branch.when is not None and not branch.when.holds(call.values):
                continue
            call.span.set(attributes={"tidemill.branch": number})
            values = dict(call.values)
            prefix = call.name.removesuffix(call.name.rpartition(".")[2])
            speaker = branch.last if call.speaks else None
            await branch.scope.run(values, run=call.run, span=call.span, prefix=prefix, speaker=speaker)
            return Outcome(value=values.get(branch.last))
        return Outcome(value=None)


class ChainWork:
    """A chain as a step: `with` are its inputs, its output is the step's."""

    span_kind: SpanKind = "chain"
    digest: str | None = None

    def __init__(self, application: Application) -> None:
        self.application = application

    async def variation(self, run: Run) -> Sequence[Json]:  # noqa: ARG002  (the Protocol's argument)
        """Nothing: its steps are cached, each by itself."""
        return ()

    async def work(self, inputs: JsonObject, call: Call) -> Outcome:
        """Run the chain below this step's span."""
        prefix = f"{call.name}."
        output = await self.application.run(inputs, run=call.run, span=call.span, prefix=prefix, speaks=call.speaks)
        return Outcome(value=output)


class ValueWork:
    """A value instead of work."""

    span_kind: SpanKind = "other"
    digest: str | None = None

    def __init__(self, build: Callable[[Values], Json]) -> None:
        self._build = build

    async def variation(self, run: Run) -> Sequence[Json]:  # noqa: ARG002  (the Protocol's argument)
        """Nothing: it costs nothing."""
        return ()

    async def work(self, inputs: JsonObject, call: Call) -> Outcome:  # noqa: ARG002  (the Protocol's argument)
        """Fill in the value."""
        return Outcome(value=self._build(call.values))
