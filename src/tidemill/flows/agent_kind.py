"""`kind: agent`: a model with tools and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tidemill.core.difference import spec_difference
from tidemill.core.errors import Problem
from tidemill.core.extend import Files, Surroundings
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Material, Parsed, Version
from tidemill.flows.material import agent_body
from tidemill.prompts.fields import Fields, Problems, checked_ref, place, type_name
from tidemill.prompts.variables import Variable, from_spec, parse_variables

_KEYS: Final = ("model", "prompt", "inputs", "tools", "tasks", "limits", "params", "guardrails")
DEFAULT_LIMITS: Final[Mapping[str, int | float]] = {"steps": 8, "tokens": 50_000, "tool_timeout": 60}
INPUT: Final = "input"
"""The name of an agent's text from the user, when it declares no inputs of its own."""


class AgentKind:
    """A loop: the model answers or asks for tools; the tools run; what they gave goes back to the model."""

    name = "agent"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:  # noqa: ARG002  (the Protocol's argument)
        """Canonical form: `model`, `prompt`, `inputs`, `tasks: {name: {tools}}`, `limits`."""
        problems = Problems()
        fields = Fields(body, problems=problems)
        fields.only(_KEYS, what="an agent")
        references: dict[str, str] = {}
        spec: dict[str, Json] = {}
        for key in ("model", "prompt"):
            ref = fields.ref(key, key, required=key == "model")
            if ref is not None:
                references[key] = spec[key] = ref
        inputs = parse_variables(body.get("inputs"), where="inputs", problems=problems) or (Variable(name=INPUT),)
        spec["inputs"] = [each.as_json() for each in inputs]
        spec["tasks"] = _read_tasks(fields, references)
        limits = fields.object("limits")
        if limits:
            spec["limits"] = _read_limits(Fields(limits, problems=problems, where="limits"))
        params = fields.object("params")
        if params:
            spec["params"] = params
        guardrails = _read_refs(fields, "guardrails", "guardrail", references)
        if guardrails:
            spec["guardrails"] = guardrails
        problems.raise_if_any()
        return Parsed(spec=spec, references=references)

    def materialise(self, version: Version, *, around: Surroundings) -> Material:  # noqa: ARG002  (the Protocol's argument)
        """Inputs by name; all else is as it is kept."""
        return Material(body=agent_body(version.spec))

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:
        """Variables of the prompt that are not inputs, and two tools that a model would see under one name."""
        problems = Problems()
        inputs = {each.name for each in from_spec(spec.get("inputs"))}
        prompt = resolved.get(str(spec.get("prompt")))
        for variable in from_spec(prompt.spec.get("variables")) if prompt else ():
            if variable.required and variable.name not in inputs and prompt is not None:
                message = f"{prompt.bare} needs {variable.name}, which is not an input of the agent"
                hint = f"Add it to inputs. Inputs here: {', '.join(sorted(inputs))}"
                problems.add(message, where="prompt", hint=hint)
        tasks = spec.get("tasks")
        for name, task in tasks.items() if isinstance(tasks, Mapping) else ():
            _check_tools(name, task, resolved=resolved, problems=problems)
        return problems.found

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """The fields that changed."""
        return spec_difference(old, new).lines


def tool_name(tool: Version) -> str:
    """A tool's name as a model sees it: providers allow letters, digits, _ and - only."""
    return tool.name.replace(".", "_")


def tools_of(task: Json) -> Sequence[str]:
    """The references to a task's tools."""
    tools = task.get("tools") if isinstance(task, Mapping) else None
    return [str(each) for each in tools] if isinstance(tools, Sequence) and not isinstance(tools, str) else ()


def _read_refs(fields: Fields, key: str, kind: str, references: dict[str, str]) -> list[Json]:
    found: list[Json] = []
    for number, each in enumerate(fields.list(key) or ()):
        at = place(fields.at(key), number)
        if not isinstance(each, str):
            fields.problems.add(f"a {kind} is named by a reference, not by {type_name(each)}", where=at)
        elif ref := checked_ref(each, kind=kind, where=at, problems=fields.problems):
            references[at] = ref
            found.append(ref)
    return found


def _read_tasks(fields: Fields, references: dict[str, str]) -> JsonObject:
    if fields.has("tools"):
        if fields.has("tasks"):
            fields.problems.add("an agent has tools or tasks, not both", where="tools", hint="Move the tools into a task.")
        return {"default": {"tools": _read_refs(fields, "tools", "tool", references)}}
    tasks: dict[str, Json] = {}
    for name, task in (fields.object("tasks") or {}).items():
        at = place("tasks", name)
        if not isinstance(task, Mapping):
            fields.problems.add(f"a task is an object with tools, not {type_name(task)}", where=at)
            continue
        inner = Fields(task, problems=fields.problems, where=at)
        inner.only(("tools",), what="a task")
        tasks[name] = {"tools": _read_refs(inner, "tools", "tool", references)}
    return tasks or {"default": {"tools": []}}


def _read_limits(limits: Fields) -> JsonObject:
    limits.only(DEFAULT_LIMITS, what="limits")
    steps = limits.integer("steps", low=1, high=200)
    tokens = limits.integer("tokens", low=1, high=100_000_000)
    timeout = limits.number("tool_timeout", low=0.001, high=86400)
    given = {"steps": steps, "tokens": tokens, "tool_timeout": timeout}
    return {key: value for key, value in given.items() if value is not None}


def _check_tools(name: str, task: Json, *, resolved: Mapping[str, Version], problems: Problems) -> None:
    seen: dict[str, str] = {}
    for number, ref in enumerate(tools_of(task)):
        tool = resolved.get(ref)
        if tool is None:
            continue
        shown = tool_name(tool)
        if shown in seen:
            where = f"tasks.{name}.tools.{number}"
            problems.add(f"a model would see {ref} and {seen[shown]} both as {shown}", where=where, hint="Leave one out.")
        seen[shown] = ref
