"""One step of a chain as written, checked and made canonical."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tidemill.core.conditions import Condition
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.refs import is_ref
from tidemill.prompts.fields import Fields, Problems, one_or_many, place, type_name
from tidemill.prompts.mustache import parse

ACTIONS: Final = ("prompt", "retrieve", "tool", "function", "chain", "agent", "guardrail", "branch")
MODES: Final = ("vector", "fulltext", "hybrid")
_SHARED: Final = ("id", "with", "when", "retries", "timeout", "fallback")
_OWN: Final[Mapping[str, tuple[str, ...]]] = {
    "prompt": ("prompt", "model", "params", "history"),
    "retrieve": ("retrieve",),
    "tool": ("tool",),
    "function": ("function",),
    "chain": ("chain",),
    "agent": ("agent", "task"),
    "guardrail": ("guardrail",),
    "branch": ("branch",),
}
_RETRIEVE: Final = ("index", "query", "k", "mode", "filter")
_ONE_ACTION: Final = "A step has one of prompt, retrieve, tool, function, chain, agent, guardrail, branch."


@dataclass(slots=True)
class Reading:
    """What is gathered while steps are read."""

    problems: Problems
    references: dict[str, str] = field(default_factory=dict[str, str])
    ids: dict[str, str] = field(default_factory=dict[str, str])
    """Every step's id and its place; ids are unique in the whole chain, branches included."""
    complete: bool = True
    """False when a step could not be read, so that names which it would provide are not missed."""


def action_of(step: JsonObject) -> str:
    """What a canonical step does: one of `ACTIONS`, or `value` for a fallback that gives a value."""
    return next((each for each in ACTIONS if each in step), "value")


def read_steps(value: Json, *, where: str, reading: Reading) -> list[JsonObject]:
    """A list of steps; the canonical ones, without those that could not be read."""
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        reading.problems.add(f"steps needs a list of steps, not {type_name(value)}", where=where)
        return []
    if not value:
        reading.problems.add("there are no steps", where=where, hint=_ONE_ACTION)
    found: list[JsonObject] = []
    for number, each in enumerate(value):
        at = place(where, number)
        if not isinstance(each, Mapping):
            reading.problems.add(f"a step is an object, not {type_name(each)}", where=at)
            reading.complete = False
            continue
        step = _read_step(Fields(each, problems=reading.problems, where=at), reading=reading)
        if step is None:
            reading.complete = False
        else:
            found.append(step)
    return found


def _read_step(fields: Fields, *, reading: Reading) -> JsonObject | None:
    step_id = _read_id(fields, reading)
    action = _action(fields)
    if action is None or step_id is None:
        return None
    fields.only((*_SHARED, *_OWN[action]), what=f"a {action} step")
    step: dict[str, Json] = {"id": step_id, **_read_action(fields, action, reading=reading)}
    _read_with(fields, step)
    when = fields.text("when")
    if when is not None and _is_condition(when, where=fields.at("when"), problems=fields.problems):
        step["when"] = when
    retries, timeout = fields.integer("retries", low=0, high=10), fields.number("timeout", low=0.001, high=86400)
    if retries:
        step["retries"] = retries
    if timeout is not None:
        step["timeout"] = timeout
    if fields.has("fallback"):
        step["fallback"] = _read_fallbacks(fields, step_id, action, reading=reading)
    return step


def _read_id(fields: Fields, reading: Reading) -> str | None:
    step_id = fields.text("id")
    if step_id is None:
        if not fields.has("id"):
            fields.missing("id", hint="Name the step, so that others can use what it gives: id: find.")
        return None
    if not step_id.replace("_", "a").replace("-", "a").isalnum() or not step_id[0].isalpha() or not step_id.isascii():
        fields.problems.add(
            f"{step_id!r} is not a step's id",
            where=fields.at("id"),
            hint="Use letters, digits, _ and -, and begin with a letter.",
        )
        return None
    if step_id in reading.ids:
        fields.problems.add(
            f'two steps have the id "{step_id}"', where=fields.at("id"), hint=f"The other is {reading.ids[step_id]}."
        )
        return None
    reading.ids[step_id] = fields.where
    return step_id


def _action(fields: Fields) -> str | None:
    given = [each for each in ACTIONS if each in fields.value]
    if len(given) == 1:
        return given[0]
    if given:
        fields.problems.add(
            f"a step does one thing, but this one has {' and '.join(given)}", where=fields.where, hint=_ONE_ACTION
        )
        return None
    known = {*_SHARED, *(key for keys in _OWN.values() for key in keys)}
    before = len(fields.problems.found)
    fields.only(known, what="a step")
    if len(fields.problems.found) == before:
        fields.problems.add("the step does nothing", where=fields.where, hint=_ONE_ACTION)
    return None


def _read_action(fields: Fields, action: str, *, reading: Reading) -> dict[str, Json]:
    match action:
        case "prompt":
            return _read_prompt(fields, reading)
        case "retrieve":
            return {"retrieve": _read_retrieve(fields, reading)}
        case "branch":
            return {"branch": _read_branches(fields, reading)}
        case "agent":
            task = fields.text("task")
            return {"agent": _ref(fields, "agent", "agent", reading)} | ({"task": task} if task else {})
        case _:
            return {action: _ref(fields, action, action, reading)}


def _ref(fields: Fields, key: str, kind: str, reading: Reading, *, required: bool = True) -> Json:
    found = fields.ref(key, kind, required=required)
    if found is not None:
        reading.references[fields.at(key)] = found
    return found


def _read_prompt(fields: Fields, reading: Reading) -> dict[str, Json]:
    step: dict[str, Json] = {"prompt": _ref(fields, "prompt", "prompt", reading)}
    model = _ref(fields, "model", "model", reading, required=False)
    params = fields.object("params")
    history = fields.text("history")
    if model is not None:
        step["model"] = model
    if params:
        step["params"] = params
    if history is not None:
        step["history"] = read_template(history, where=fields.at("history"), problems=fields.problems)
    return step


def _read_retrieve(fields: Fields, reading: Reading) -> JsonObject:
    body = fields.object("retrieve")
    if body is None:
        return {}
    inner = Fields(body, problems=fields.problems, where=fields.at("retrieve"))
    inner.only(_RETRIEVE, what="retrieve")
    step: dict[str, Json] = {"index": _ref(inner, "index", "index", reading)}
    if not inner.has("query"):
        inner.missing("query", hint='Write query: "{{question}}".')
    step["query"] = read_template(inner.text("query"), where=inner.at("query"), problems=fields.problems)
    given = inner.value.get("k")
    k = given if isinstance(given, str) and "{{" in given else inner.integer("k", low=1, high=1000)
    mode = inner.choice("mode", MODES)
    filtered = inner.object("filter")
    if k is not None:
        step["k"] = read_template(k, where=inner.at("k"), problems=fields.problems)
    if mode is not None:
        step["mode"] = mode
    if filtered:
        step["filter"] = read_template(filtered, where=inner.at("filter"), problems=fields.problems)
    return step


def _read_branches(fields: Fields, reading: Reading) -> list[Json]:
    found: list[Json] = []
    branches = fields.list("branch") or ()
    for number, each in enumerate(branches):
        at = place(fields.at("branch"), number)
        if not isinstance(each, Mapping):
            fields.problems.add(f"a branch is an object with when and steps, not {type_name(each)}", where=at)
            continue
        inner = Fields(each, problems=fields.problems, where=at)
        inner.only(("when", "steps"), what="a branch")
        when = inner.text("when")
        if when is None and number < len(branches) - 1:
            inner.missing("when", hint="Only the last branch may go without a condition.")
        branch: dict[str, Json] = {"steps": read_steps(each.get("steps"), where=inner.at("steps"), reading=reading)}
        if when is not None and _is_condition(when, where=inner.at("when"), problems=fields.problems):
            branch["when"] = when
        found.append(branch)
    if not branches:
        fields.problems.add("branch is empty", where=fields.at("branch"), hint="Write branch: [{when: CEL, steps: […]}].")
    return found


def _read_with(fields: Fields, step: dict[str, Json]) -> None:
    given = fields.object("with")
    if given:
        step["with"] = read_template(given, where=fields.at("with"), problems=fields.problems)


def _read_fallbacks(fields: Fields, step_id: str, action: str, *, reading: Reading) -> list[Json]:
    """Each fallback as a whole step: what it names, on top of the step that it stands in for; or a value."""
    found: list[Json] = []
    for at, each in one_or_many(fields.value["fallback"], where=fields.at("fallback")):
        if isinstance(each, str) and is_ref(each) and each.startswith(("model/", "route/")):
            reading.references[at] = each
            own = Fields({"model": each}, problems=Problems(), where=at)
            found.append({"id": step_id, **_read_override(own, fields, action, reading=Reading(problems=Problems()))})
        elif isinstance(each, Mapping) and set(each) == {"value"}:
            filled = read_template(each["value"], where=place(at, "value"), problems=fields.problems)
            found.append({"id": step_id, "value": filled})
        elif isinstance(each, Mapping):
            own = Fields(each, problems=fields.problems, where=at)
            found.append({"id": step_id, **_read_override(own, fields, action, reading=reading)})
        else:
            hint = "Write fallback: model/other, fallback: {value: …}, or the keys of the step that differ."
            fields.problems.add(f"a fallback is an object, not {type_name(each)}", where=at, hint=hint)
    return found


def _read_override(own: Fields, base: Fields, action: str, *, reading: Reading) -> dict[str, Json]:
    """The base step with some keys changed, or another action; problems of the base's own keys were noted already."""
    changed = next((each for each in ACTIONS if each in own.value), action)
    if changed == "branch":
        own.problems.add("a fallback cannot be a branch", where=own.where, hint="Use a chain step.")
        return {}
    own.only((*_OWN[changed], "with"), what=f"the fallback of a {action} step")
    body = {**base.value, **own.value} if changed == action else own.value
    apart = Reading(problems=Problems())
    merged = Fields(body, problems=apart.problems, where=own.where)
    step = _read_action(merged, changed, reading=apart)
    _read_with(merged, step)

    def is_own(at: str) -> bool:
        return at == own.where or at.removeprefix(f"{own.where}.").split(".")[0] in own.value

    own.problems.found.extend(each for each in apart.problems.found if is_own(each.where))
    reading.references.update({at: ref for at, ref in apart.references.items() if is_own(at)})
    return step


def _is_condition(text: str, *, where: str, problems: Problems) -> bool:
    try:
        Condition(text)
    except Invalid as error:
        problems.add(error.message, where=where, hint=error.hint)
        return False
    return True


def read_template(value: Json, *, where: str, problems: Problems) -> Json:
    """The value, after noting every template in it that cannot be parsed (which is then left out)."""
    if isinstance(value, str):
        try:
            parse(value)
        except Invalid as error:
            problems.add(error.message, where=where, hint=error.hint)
            return ""
        return value
    if isinstance(value, Mapping):
        return {key: read_template(each, where=place(where, key), problems=problems) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [read_template(each, where=place(where, number), problems=problems) for number, each in enumerate(value)]
    return value
