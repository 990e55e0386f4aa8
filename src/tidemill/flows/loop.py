"""The agent loop: the model answers or asks for tools; the tools run; what they gave goes back to the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import anyio
from msgspec.structs import replace

from tidemill.core.chat import FinishReason, ToolDefinition, Usage
from tidemill.core.digests import digest_json
from tidemill.core.errors import Invalid, TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject, dump_json, parse_json
from tidemill.core.parts import Message, ToolCall, ToolResult
from tidemill.core.records import Bundle, SpanKind, Version
from tidemill.core.suggest import did_you_mean
from tidemill.flows.agent_kind import DEFAULT_LIMITS, tool_name, tools_of
from tidemill.flows.ask import ONE_MODEL_CALL, Asker, conversation, with_history
from tidemill.flows.guard import Guard
from tidemill.flows.invoke import Callee
from tidemill.flows.results import NO_CALLS, NO_USAGE, Calls, add_cost
from tidemill.flows.step import Call, Outcome, Run
from tidemill.prompts.render import PromptTemplate
from tidemill.telemetry import Span, genai

_ONE_TOOL_CALL: Final = Calls(tool=1)
_LONGEST_RESULT: Final = 50_000


class AgentWork:
    """A model with tools and limits. Gives `text`, the `tool_calls` made, the number of `steps`, and why it `stopped`."""

    span_kind: SpanKind = "agent"

    def __init__(self, bundle: Bundle, agent: Version, *, task: str | None, is_root: bool = False) -> None:
        spec = agent.spec
        self._agent = agent
        prompt = bundle.resolve(agent, str(spec["prompt"])) if "prompt" in spec else None
        self._template = PromptTemplate(prompt.spec) if prompt else None
        params = spec.get("params")
        merged = {**(self._template.params if self._template else {}), **(params if isinstance(params, Mapping) else {})}
        model = bundle.resolve(agent, str(spec["model"]))
        self._asker = Asker(model=model, params=merged, is_root=is_root)
        self.model = model
        self._tools = {tool_name(each): Callee(each) for each in _tools(bundle, agent, task)}
        self._definitions = tuple(
            ToolDefinition(name=name, description=str(tool.version.spec.get("purpose", "")), parameters=tool.parameters)
            for name, tool in self._tools.items()
        )
        self._guards = [Guard(bundle.resolve(agent, each)) for each in _refs(spec.get("guardrails"))]
        limits = spec.get("limits")
        self._limits: Mapping[str, Json] = {**DEFAULT_LIMITS, **(limits if isinstance(limits, Mapping) else {})}
        pure = all(each.is_pure for each in self._tools.values())
        self.digest: str | None = digest_json([agent.digest, task]) if pure else None

    async def variation(self, run: Run) -> Sequence[Json]:
        """The model's replicate and epoch."""
        return await self._asker.variation(run)

    async def work(self, inputs: JsonObject, call: Call) -> Outcome:
        """Go round until the model answers without asking for a tool, or a limit is reached."""
        turn = _Turns(self._opening(inputs, call.run))
        while True:
            result = await self._ask(turn, call)
            message = result.message
            turn.messages.append(message)
            if not message.tool_calls:
                return turn.outcome(message.text, finish=result.finish_reason)
            stopped = self._limit_reached(turn)
            if stopped is not None:
                return turn.outcome(message.text, finish="length", stopped=stopped)
            parts = [await self._use(each, turn, call) for each in message.tool_calls]
            turn.messages.append(Message(role="tool", parts=tuple(parts)))

    def _opening(self, inputs: JsonObject, run: Run) -> list[Message]:
        messages = run.context.messages if self._asker.is_root else ()
        if self._template is None:
            return list(conversation(inputs, messages))
        known = {each.name for each in self._template.variables}
        given = {name: value for name, value in inputs.items() if name in known}
        rendered = self._template.render(given, what=self._agent.bare)
        if any(each.role == "user" for each in rendered):
            return list(with_history(rendered, messages[:-1]))
        return [*rendered, *conversation(inputs, messages)]

    async def _ask(self, turn: _Turns, call: Call) -> _Answer:
        request = self._asker.request(tuple(turn.messages), call.run)
        request = replace(request, tools=(*self._definitions, *request.tools))
        with call.span.child("model", kind="llm") as span:
            result = await self._asker.ask(request, call, span=span)
        turn.steps += 1
        turn.usage += result.response.usage
        turn.cost = add_cost(turn.cost, result.cost)
        turn.calls += ONE_MODEL_CALL
        return _Answer(result.response.message, result.response.finish_reason)

    def _limit_reached(self, turn: _Turns) -> str | None:
        if turn.steps >= _number(self._limits["steps"]):
            return "steps"
        if turn.usage.input_tokens + turn.usage.output_tokens >= _number(self._limits["tokens"]):
            return "tokens"
        return None

    async def _use(self, asked: ToolCall, turn: _Turns, call: Call) -> ToolResult:
        """Run one tool. What goes wrong is told to the model, which may do better."""
        attributes: dict[str, Json] = {genai.TOOL_NAME: asked.name, genai.TOOL_CALL_ID: asked.id}
        with call.span.child(asked.name, kind="tool", input=asked.arguments, attributes=attributes) as span:
            try:
                text, value = await self._run_tool(asked, turn, span=span)
            except TidemillError as error:
                problem = f"{error.message} {error.hint}".strip()
                span.set(error=problem, output=problem)
                turn.made.append({"id": asked.id, "name": asked.name, "arguments": asked.arguments, "error": problem})
                return ToolResult(id=asked.id, content=problem, is_error=True)
            span.set(output=value)
        turn.made.append({"id": asked.id, "name": asked.name, "arguments": asked.arguments, "output": value})
        return ToolResult(id=asked.id, content=text)

    async def _run_tool(self, asked: ToolCall, turn: _Turns, *, span: Span) -> tuple[str, Json]:
        tool = self._tools.get(asked.name)
        if tool is None:
            raise Invalid(f"there is no tool {asked.name!r}.", hint=did_you_mean(asked.name, self._tools))
        arguments = parse_json(asked.arguments or "{}", what=f"the arguments of {asked.name}")
        if not isinstance(arguments, Mapping):
            raise Invalid(f"the arguments of {asked.name} are not an object.")
        span.set(input=arguments)
        turn.calls += _ONE_TOOL_CALL
        limit = _number(self._limits["tool_timeout"])
        value: Json = None
        with anyio.move_on_after(limit) as scope:
            value = await tool(arguments)
        if scope.cancelled_caught:
            raise Unavailable(f"{asked.name} took longer than {limit:g} s.")
        text = value if isinstance(value, str) else dump_json(value).decode()
        for guard in self._guards:
            if guard.point == "tool":
                text = await guard.pass_text(text, span=span)
        return (text if len(text) <= _LONGEST_RESULT else f"{text[:_LONGEST_RESULT]} … (cut)"), value


class _Answer:
    """A turn's message and why it ended."""

    __slots__ = ("finish_reason", "message")

    def __init__(self, message: Message, finish_reason: FinishReason) -> None:
        self.message = message
        self.finish_reason: FinishReason = finish_reason


class _Turns:
    """An agent's conversation while it goes on, and what it has spent."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.made: list[Json] = []
        self.steps = 0
        self.usage: Usage = NO_USAGE
        self.cost: float | None = 0.0
        self.calls: Calls = NO_CALLS

    def outcome(self, text: str, *, finish: FinishReason, stopped: str | None = None) -> Outcome:
        value: dict[str, Json] = {"text": text, "tool_calls": self.made, "steps": self.steps, "stopped": stopped}
        return Outcome(value=value, usage=self.usage, cost=self.cost, calls=self.calls, finish_reason=finish)


def _tools(bundle: Bundle, agent: Version, task: str | None) -> list[Version]:
    tasks = agent.spec.get("tasks")
    assert isinstance(tasks, Mapping)
    name = task if task is not None else next(iter(tasks)) if len(tasks) == 1 else None
    if name is None or name not in tasks:
        known = ", ".join(tasks)
        raise Invalid(f"{agent.bare} has several tasks; say which", hint=f"Known: {known}. Run it from a chain: task: NAME.")
    return [bundle.resolve(agent, each) for each in tools_of(tasks[name])]


def _refs(value: Json) -> list[str]:
    return [str(each) for each in value] if isinstance(value, Sequence) and not isinstance(value, str) else []


def _number(value: Json) -> float:
    assert isinstance(value, int | float)
    return value
