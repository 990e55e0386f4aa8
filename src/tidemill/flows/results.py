"""What goes into a run besides its inputs, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidemill.core.chat import FinishReason, ToolDefinition, Usage
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message
from tidemill.models.caller import Caller
from tidemill.models.checks.guardrail import Blocked as Blocked  # noqa: PLC0414  (flows raise it, too)
from tidemill.telemetry import Span

ENGINE = "tidemill-engine/1"
"""Changes whenever the same step could give another output; part of every cache key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calls:
    """How many calls were made: of models, embedders, searches, and tools or functions."""

    model: int = 0
    embed: int = 0
    retrieve: int = 0
    tool: int = 0

    def __add__(self, other: Calls) -> Calls:
        return Calls(
            model=self.model + other.model,
            embed=self.embed + other.embed,
            retrieve=self.retrieve + other.retrieve,
            tool=self.tool + other.tool,
        )


NO_CALLS = Calls()
NO_USAGE = Usage()


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """For whom and where a run is made.

    `span` is the started root span; it stays the caller's to end. `reuse` allows outputs from the step cache; `replicate`
    tells repeated samples of one input apart. `targets` limits a chain to these steps and what they need. `messages` is the
    whole conversation, for models, prompts and agents. `params`, `tools`, `tool_choice` and `output_schema` go on top of what a
    model, a prompt or an agent says; a chain's steps do not see them. `caller` is for whom it is made; None: the platform.
    """

    project: str
    environment: str
    span: Span
    reuse: bool = True
    replicate: int = 0
    targets: frozenset[str] | None = None
    messages: tuple[Message, ...] = ()
    params: JsonObject = field(default_factory=dict[str, Json])
    tools: tuple[ToolDefinition, ...] = ()
    tool_choice: str | None = None
    output_schema: JsonObject | None = None
    caller: Caller | None = None

    @property
    def asking(self) -> Caller:
        """For whom models are called."""
        return self.caller or Caller.internal(self.project, self.environment)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """One step's output and what it took. A re-used one keeps its first latency, usage, cost and calls.

    `warm` says that it ran, but that part of its work was remembered: its latency is not that of a first time.
    """

    output: Json
    reused: bool = False
    warm: bool = False
    skipped: bool = False
    latency_ms: float = 0.0
    usage: Usage = NO_USAGE
    cost: float | None = 0.0
    calls: Calls = NO_CALLS


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """A run's output and what it took.

    `steps` has every step that ran or was re-used, those of a nested chain as `outer.inner`. `usage`, `cost` (US dollars; None
    when a price is not known) and `calls` are what was spent now; `saved_usage`, `saved_cost` and `reused` what the re-used
    steps had spent. `blocked_by` names the guardrail whose message is the output.
    """

    output: Json
    steps: Mapping[str, StepResult]
    usage: Usage = NO_USAGE
    cost: float | None = 0.0
    latency_ms: float = 0.0
    calls: Calls = NO_CALLS
    reused: Calls = NO_CALLS
    saved_usage: Usage = NO_USAGE
    saved_cost: float | None = 0.0
    finish_reason: FinishReason = "stop"
    blocked_by: str | None = None


def add_cost(one: float | None, other: float | None) -> float | None:
    """The sum; None when either is not known."""
    return None if one is None or other is None else one + other
