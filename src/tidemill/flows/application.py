"""A compiled application: what it takes, its steps, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import message_to_json
from tidemill.core.suggest import did_you_mean
from tidemill.flows.guard import Guard
from tidemill.flows.names import ancestors
from tidemill.flows.scope import Scope
from tidemill.flows.step import Run
from tidemill.flows.values import Values
from tidemill.prompts.variables import Variable, check_values
from tidemill.telemetry import Span


@dataclass(frozen=True, kw_only=True, slots=True)
class Application:
    """`needed` are the steps that the output needs; `speaker` is the one whose text is the output, so that it can stream."""

    name: str
    inputs: tuple[Variable, ...]
    scope: Scope
    output: Callable[[Values], Json]
    needed: frozenset[str]
    graph: Mapping[str, Sequence[str]]
    speaker: str | None = None
    input_guards: tuple[Guard, ...] = ()
    output_guards: tuple[Guard, ...] = ()

    async def run(self, inputs: JsonObject, *, run: Run, span: Span, prefix: str = "", speaks: bool = True) -> Json:
        """Check the inputs, run the steps, give the output. Raises `Invalid`, naming the input that is wrong."""
        values = check_values(self._declared(run), self._with_messages(inputs, run), what=self.name)
        for guard in self.input_guards:
            for name, value in values.items():
                if isinstance(value, str):
                    values[name] = await guard.pass_text(value, span=span)
        only = self.only(None if prefix else run.context.targets)
        speaker = self.speaker if speaks and not self.output_guards else None
        await self.scope.run(values, run=run, span=span, prefix=prefix, only=only, speaker=speaker)
        if only is not None and not self.needed <= only:
            return None
        return await self._guarded(self.give(values), span=span)

    def give(self, values: Values) -> Json:
        """The output. An answer by itself gives its text."""
        output = self.output(values)
        if isinstance(output, Mapping) and "tool_calls" in output and isinstance(output.get("text"), str):
            return output["text"]
        return output

    def only(self, targets: frozenset[str] | None) -> frozenset[str] | None:
        """The steps to run for these targets; None for all."""
        if targets is None:
            return None
        for each in targets:
            if each not in self.graph:
                raise Invalid(f"{self.name} has no step {each!r}", hint=did_you_mean(each, self.graph))
        return ancestors(targets, self.graph)

    def _declared(self, run: Run) -> tuple[Variable, ...]:
        """With a conversation given, nothing else is required: it says what is asked."""
        return tuple(replace(each, required=False) for each in self.inputs) if self._takes_messages(run) else self.inputs

    def _takes_messages(self, run: Run) -> bool:
        return bool(run.context.messages) and not self.name.startswith(("chain/", "prompt/"))

    def _with_messages(self, inputs: JsonObject, run: Run) -> JsonObject:
        """An input of type `messages` that is not given is the conversation so far."""
        missing = [each.name for each in self.inputs if each.type == "messages" and inputs.get(each.name) is None]
        if not missing:
            return inputs
        history: list[Json] = [message_to_json(each) for each in run.context.messages[:-1]]
        return {**inputs, **dict.fromkeys(missing, history)}

    async def _guarded(self, output: Json, *, span: Span) -> Json:
        for guard in self.output_guards:
            if isinstance(output, str):
                output = await guard.pass_text(output, span=span)
        return output
