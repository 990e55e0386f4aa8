"""One pipeline as written, checked and made canonical: its inputs, what starts it, and its steps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tidemill.core.conditions import Condition
from tidemill.core.durations import parse_duration
from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import Json, JsonObject
from tidemill.core.suggest import did_you_mean, nearest
from tidemill.flows.code import read_code
from tidemill.flows.names import find_cycle
from tidemill.flows.step_spec import read_template
from tidemill.flows.values import names_in
from tidemill.jobs.cron import parse_cron
from tidemill.pipelines.arguments import read_argument
from tidemill.pipelines.forms import FORMS, Form
from tidemill.prompts.fields import Fields, Problems, place, type_name

SHARED: Final = ("id", "needs", "when", "with", "retry", "timeout", "cache")
_ID: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_STEP_IN_CEL: Final = re.compile(r"\bsteps(?:\.([A-Za-z_]\w*)|\[\s*[\"']([\w-]+)[\"']\s*\])")
_INPUT_IN_CEL: Final = re.compile(r"\binputs(?:\.([A-Za-z_]\w*)|\[\s*[\"']([\w-]+)[\"']\s*\])")
_RESERVED: Final = "run"
_CEL_HINT: Final = "A condition knows steps, inputs and run, as in steps.drift.alarm && inputs.share > 0."


@dataclass(slots=True)
class Reading:
    """What is gathered while a pipeline is read."""

    problems: Problems
    inputs: tuple[str, ...] = ()
    references: dict[str, str] = field(default_factory=dict[str, str])
    hermetic: bool = True
    notes: list[Problem] = field(default_factory=list[Problem])
    complete: bool = True


def read_inputs(fields: Fields) -> dict[str, Json]:
    """`inputs: {name: default}`; null means that each run must give it."""
    body = fields.object("inputs") or {}
    for name in body:
        if _ID.fullmatch(name) is None or name == _RESERVED:
            hint = "Use small letters, digits, _ and -; run is taken."
            fields.problems.add(f"{name!r} cannot name an input", where=place("inputs", name), hint=hint)
    return dict(body)


def read_on(fields: Fields, reading: Reading, inputs: Mapping[str, Json]) -> JsonObject:
    """What starts it: `schedule` (cron, UTC), `drift` (a monitor that alarmed), `feedback` (so many new ones)."""
    body = fields.object("on")
    if body is None:
        return {}
    inner = Fields(body, problems=fields.problems, where="on")
    inner.only(("schedule", "drift", "feedback"), what="on")
    found: dict[str, Json] = {}
    rule = inner.text("schedule")
    if rule is not None:
        try:
            parse_cron(rule)
        except Invalid as error:
            fields.problems.add(error.message, where="on.schedule", hint=error.hint)
        found["schedule"] = rule
    monitor = inner.ref("drift", "monitor")
    if monitor is not None:
        reading.references["on.drift"] = found["drift"] = monitor
    count = inner.integer("feedback", low=1, high=1_000_000_000)
    if count is not None:
        found["feedback"] = count
    missing = [name for name, default in inputs.items() if default is None]
    if found and missing:
        hint = f"Give it a default, as in inputs: {{{missing[0]}: …}}."
        fields.problems.add(f"nobody gives {missing[0]} when the pipeline starts by itself", where="on", hint=hint)
    return found


def read_steps(fields: Fields, reading: Reading) -> list[JsonObject]:
    """Every step in its canonical form; what is wrong becomes a problem with its place."""
    written = fields.list("steps")
    if not written:
        if written is not None or not fields.has("steps"):
            fields.missing("steps", hint="Write steps: [{id: check, python: package.module:function}].")
        return []
    found: list[JsonObject] = []
    places: dict[str, str] = {}
    for number, each in enumerate(written):
        at = place("steps", number)
        if not isinstance(each, Mapping):
            reading.problems.add(f"a step is an object, not {type_name(each)}", where=at)
            reading.complete = False
            continue
        step = _read_step(Fields(each, problems=reading.problems, where=at), reading, places)
        if step is None:
            reading.complete = False
        else:
            found.append(step)
    if reading.complete:
        return _wired(found, places, reading)
    return found


def _read_step(fields: Fields, reading: Reading, places: dict[str, str]) -> dict[str, Json] | None:
    step_id = _read_id(fields, reading, places)
    kind = _kind_of(fields)
    if step_id is None or kind is None:
        return None
    form = FORMS[kind]
    fields.only((*SHARED, kind), what=f"a {kind} step")
    step: dict[str, Json] = {"id": step_id, "do": kind, "args": _read_args(fields, kind, form, reading)}
    if fields.has("with"):
        if form.with_inputs:
            step["with"] = read_template(fields.object("with"), where=fields.at("with"), problems=fields.problems)
        else:
            fields.problems.add(f"a {kind} step takes no with", where=fields.at("with"), hint=f"Write it in {kind}: {{…}}.")
    if kind == "python":
        _read_code(fields, step, reading)
    _read_running(fields, step, form)
    return step


def _read_id(fields: Fields, reading: Reading, places: dict[str, str]) -> str | None:
    step_id = fields.text("id")
    if step_id is None:
        if not fields.has("id"):
            fields.missing("id", hint="Name the step, so that others can use what it gives: id: evaluate.")
        return None
    if _ID.fullmatch(step_id) is None or step_id == _RESERVED:
        hint = "Use small letters, digits, _ and -, and begin with a letter; run is taken."
        fields.problems.add(f"{step_id!r} is not a step's id", where=fields.at("id"), hint=hint)
        return None
    if step_id in places:
        hint = f"The other is {places[step_id]}."
        fields.problems.add(f'two steps have the id "{step_id}"', where=fields.at("id"), hint=hint)
        return None
    if step_id in reading.inputs:
        hint = "Rename one of them, so that a template can tell them apart."
        fields.problems.add(f'"{step_id}" is an input and a step', where=fields.at("id"), hint=hint)
        return None
    places[step_id] = fields.where
    return step_id


def _kind_of(fields: Fields) -> str | None:
    given = [each for each in FORMS if each in fields.value]
    if len(given) == 1:
        return given[0]
    if given:
        message = f"a step does one thing, but this one has {' and '.join(given)}"
        fields.problems.add(message, where=fields.where, hint="Make two steps of it.")
        return None
    unknown = [each for each in fields.value if each not in SHARED]
    what = f"unknown kind of step {unknown[0]!r}" if unknown else "the step does nothing"
    near = did_you_mean(unknown[0], FORMS) if unknown else ""
    hint = near if near.startswith("Did") else f"A step has one of {', '.join(FORMS)}."
    fields.problems.add(what, where=fields.at(unknown[0]) if unknown else fields.where, hint=hint)
    return None


def _read_args(fields: Fields, kind: str, form: Form, reading: Reading) -> JsonObject:
    written = fields.value[kind]
    if isinstance(written, Mapping):
        inner = Fields(written, problems=fields.problems, where=fields.at(kind))
        inner.only(form.keys, what=f"a {kind} step")
        places = {key: inner.at(key) for key in written}
    else:
        inner = Fields({form.short: written}, problems=fields.problems, where=fields.at(kind))
        places = {form.short: fields.at(kind)}
    found: dict[str, Json] = {}
    for name, key in form.keys.items():
        if not inner.has(name):
            if key.required:
                fields.problems.add(f"a {kind} step needs {name}", where=fields.at(kind), hint=f"Write {kind}: {{{name}: …}}.")
            continue
        found[name] = read_argument(
            inner.value[name], name=name, key=key, where=places[name], problems=fields.problems, references=reading.references
        )
    return found


def _read_code(fields: Fields, step: dict[str, Json], reading: Reading) -> None:
    args = step["args"]
    entry = args.get("call") if isinstance(args, Mapping) else None
    if not isinstance(entry, str):
        return
    try:
        code = read_code(entry)
    except Invalid as error:
        fields.problems.add(error.message, where=fields.at("python"), hint=error.hint)
        return
    step["code"] = code.as_json()
    reading.hermetic = reading.hermetic and code.hermetic
    reading.notes.extend(replace(each, where=fields.at("python")) for each in code.notes)


def _read_running(fields: Fields, step: dict[str, Json], form: Form) -> None:
    """How it runs: after what, when, how often, how long, and whether its output may be used again."""
    needs = [each for each in fields.list("needs") or () if isinstance(each, str)]
    if needs:
        step["needs"] = list(needs)
    when = fields.text("when")
    if when is not None and _is_condition(when, where=fields.at("when"), problems=fields.problems):
        step["when"] = when
    retry = fields.object("retry")
    if retry is not None:
        inner = Fields(retry, problems=fields.problems, where=fields.at("retry"))
        inner.only(("attempts", "backoff"), what="retry")
        attempts = inner.integer("attempts", low=1, high=20)
        backoff = read_seconds(inner, "backoff")
        step["retry"] = {"attempts": attempts or 3, "backoff": 1.0 if backoff is None else backoff}
    timeout = read_seconds(fields, "timeout")
    if timeout is not None:
        step["timeout"] = timeout
    cache = fields.flag("cache")
    if cache and not form.cached:
        hint = "Leave cache out: it acts on the world, or looks at it, and runs every time."
        fields.problems.add(f"the output of a {step['do']} step is never used again", where=fields.at("cache"), hint=hint)
    if cache is False:
        step["cache"] = False


def _is_condition(text: str, *, where: str, problems: Problems) -> bool:
    try:
        Condition(text)
    except Invalid as error:
        problems.add(error.message, where=where, hint=error.hint)
        return False
    return True


def read_seconds(fields: Fields, key: str) -> float | None:
    """A length of time in seconds."""
    if not fields.has(key):
        return None
    try:
        return parse_duration(fields.value[key], what=key)
    except Invalid as error:
        fields.problems.add(error.message, where=fields.at(key), hint=error.hint)
        return None


def _wired(steps: Sequence[JsonObject], places: Mapping[str, str], reading: Reading) -> list[JsonObject]:
    """Each step with all that it needs: what it says, and what its templates and its condition name."""
    ids = [str(each["id"]) for each in steps]
    graph: dict[str, list[str]] = {}
    for step in steps:
        at = places[str(step["id"])]
        used = {*_said(step, ids, at, reading), *_templated(step, ids, at, reading), *_conditioned(step, ids, at, reading)}
        graph[str(step["id"])] = [each for each in ids if each in used]
    ring = find_cycle(graph)
    if ring is not None:
        hint = "A step can use only what is finished before it begins."
        reading.problems.add(f"the steps form a cycle: {' -> '.join(ring)}", where=places[ring[0]], hint=hint)
    return [{**step, "needs": list[Json](graph[str(step["id"])])} for step in steps]


def _said(step: JsonObject, ids: Sequence[str], at: str, reading: Reading) -> set[str]:
    needs = step.get("needs")
    found: set[str] = set()
    for number, each in enumerate(needs if isinstance(needs, Sequence) else ()):
        if each in ids:
            found.add(str(each))
        else:
            where = f"{at}.needs.{number}"
            message = f'step "{step["id"]}" needs {each}, which is no step'
            reading.problems.add(message, where=where, hint=did_you_mean(str(each), ids))
    return found


def _templated(step: JsonObject, ids: Sequence[str], at: str, reading: Reading) -> set[str]:
    known = {*ids, *reading.inputs, _RESERVED}
    found: set[str] = set()
    uses = [
        *names_in(step.get("args"), where=place(at, str(step["do"]))),
        *names_in(step.get("with"), where=place(at, "with")),
    ]
    for where, path, inside in uses:
        if path[0] in ids:
            found.add(path[0])
        elif path[0] not in known and not inside:
            written = f"{{{{{'.'.join(path)}}}}}"
            near = nearest(path[0], known)
            start = f"did you mean {{{{{near}}}}}?  " if near else ""
            hint = f"{start}Inputs here: {', '.join(reading.inputs) or 'none'}. Steps: {', '.join(ids)}"
            message = f'step "{step["id"]}" uses {written}, which nothing provides'
            reading.problems.add(message, where=where, hint=hint)
    return found


def _conditioned(step: JsonObject, ids: Sequence[str], at: str, reading: Reading) -> set[str]:
    text = step.get("when")
    if not isinstance(text, str):
        return set()
    where = place(at, "when")
    for name in sorted(Condition(text).names - {"steps", "inputs", _RESERVED}):
        hint = f"Write steps.{name}." if name in ids else f"Write inputs.{name}." if name in reading.inputs else _CEL_HINT
        reading.problems.add(f"the condition {text!r} uses {name}, which nothing provides", where=where, hint=hint)
    for pattern, known, what in ((_STEP_IN_CEL, ids, "step"), (_INPUT_IN_CEL, reading.inputs, "input")):
        for each in {match[1] or match[2] for match in pattern.finditer(text)} - set(known):
            hint = did_you_mean(each, known)
            reading.problems.add(f"the condition {text!r} names {each}, which is no {what}", where=where, hint=hint)
    return {match[1] or match[2] for match in _STEP_IN_CEL.finditer(text)} & set(ids)
