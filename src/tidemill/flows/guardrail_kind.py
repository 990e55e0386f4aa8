"""`kind: guardrail`: checks on a text, and what to do when one finds something."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from tidemill.core.difference import spec_difference
from tidemill.core.durations import parse_duration
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import Check, Files, Surroundings, extension_names, load_extension
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import ROLES
from tidemill.core.records import Material, Parsed, Version
from tidemill.core.suggest import did_you_mean
from tidemill.flows.material import guardrail_body
from tidemill.prompts.fields import Fields, Problems, one_or_many, type_name

POINTS: Final = ("input", "output", "context", "tool")
ACTIONS: Final = ("allow", "redact", "block", "escalate")
_MORE: Final = ("on_error", "timeout", "hold", "roles")
_LONGEST: Final = 600.0  # seconds
_FORM: Final = "Write check: {denylist: {words: […]}}, {regex: {pattern: …}} or {max_length: {characters: …}}."


class GuardrailKind:
    """`on` says what it reads, `check` what it looks for, `action` what happens to what was found.

    `allow` and `escalate` let the text pass with a note, `redact` replaces what was found, `block` refuses the text, with
    `message` as the answer when there is one.

    A check that fails, or takes longer than `timeout`, refuses the text unless `on_error` is `open`. Of streams `hold`
    (`characters`, `time`) says how much is held back to be looked at; `roles` whose words an input guardrail reads.
    """

    name = "guardrail"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:  # noqa: ARG002  (the Protocol's argument)
        """Canonical form: `on`, `checks: [{check, options}]`, `action`, and `message` or `replacement`."""
        problems = Problems()
        fields = Fields(body, problems=problems)
        fields.only(("on", "check", "action", "message", "replacement", *_MORE), what="a guardrail")
        for key in ("on", "check"):
            if key not in body:
                fields.missing(key, hint=_FORM if key == "check" else f"One of {', '.join(POINTS)}.")
        spec: dict[str, Json] = {
            "on": fields.choice("on", POINTS),
            "checks": _read_checks(body.get("check"), problems=problems),
            "action": fields.choice("action", ACTIONS, default="block"),
        }
        for key in ("message", "replacement"):
            text = fields.text(key)
            if text is not None:
                spec[key] = text
        spec.update(_read_policy(fields))
        problems.raise_if_any()
        return Parsed(spec=spec)

    def materialise(self, version: Version, *, around: Surroundings) -> Material:  # noqa: ARG002  (the Protocol's argument)
        """`check` with the options of each below its name."""
        return Material(body=guardrail_body(version.spec))

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:  # noqa: ARG002  (the Protocol's)
        """A guardrail references nothing."""
        return ()

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """The fields that changed."""
        return spec_difference(old, new).lines


def _read_policy(fields: Fields) -> JsonObject:
    """What holds when a check fails, and of streams and roles; only what is given."""
    spec: dict[str, Json] = {}
    on_error = fields.choice("on_error", ("closed", "open")) if fields.has("on_error") else None
    if on_error is not None:
        spec["on_error"] = on_error
    if fields.has("timeout"):
        spec["timeout"] = _seconds(fields, fields.value["timeout"], "timeout", most=_LONGEST)
    hold = fields.value.get("hold")
    if isinstance(hold, Mapping):
        spec["hold"] = _read_hold(Fields(hold, problems=fields.problems, where="hold"))
    elif hold is not None:
        fields.wrong("hold", "an object, as in {characters: 200, time: 1s}")
    if fields.has("roles"):
        roles = [each for _, each in one_or_many(fields.value["roles"], where="roles")]
        wrong = [each for each in roles if each not in ROLES]
        if wrong or not roles:
            fields.problems.add(f"roles are {roles!r}", where="roles", hint=f"Some of {', '.join(ROLES)}.")
        elif fields.value.get("on") != "input":
            fields.problems.add("only what reads the input has roles", where="roles", hint="Leave roles out.")
        spec["roles"] = sorted({str(each) for each in roles})
    return spec


def _read_hold(fields: Fields) -> JsonObject:
    fields.only(("characters", "time"), what="hold")
    spec: dict[str, Json] = {}
    characters = fields.integer("characters", low=1, high=100_000)
    if characters is not None:
        spec["characters"] = characters
    if fields.has("time"):
        spec["time"] = _seconds(fields, fields.value["time"], "time", most=60.0)
    return spec


def _seconds(fields: Fields, value: Json, key: str, *, most: float) -> float:
    try:
        seconds = parse_duration(value, what=key)
    except Invalid as error:
        fields.problems.add(error.message, where=fields.at(key), hint=error.hint)
        return most
    if not 0 < seconds <= most:
        fields.problems.add(f"{key} is {value!r}, but must be above 0 and at most {most:g} s", where=fields.at(key))
    return seconds


def make_check(name: str, options: JsonObject) -> Check:
    """A check by its registered name. Raises `Invalid` for an unknown name or wrong options."""
    factory = cast("Callable[..., Any]", load_extension("checks", name))
    try:
        made: object = factory(**options)
    except TypeError as error:
        raise Invalid(f"the check {name}: {str(error).partition(') ')[2] or error}", hint=_FORM) from error
    if not isinstance(made, Check):
        raise Invalid(f"{name} is registered as a check, but has no method check")
    return made


def _read_checks(value: Json, *, problems: Problems) -> list[Json]:
    found: list[Json] = []
    for where, each in one_or_many(value, where="check"):
        name, options = _name_and_options(each)
        if name is None:
            problems.add(f"a check is a name with options, not {type_name(each)}", where=where, hint=_FORM)
            continue
        if name not in extension_names("checks"):
            problems.add(f"{name!r} is not a known check", where=where, hint=did_you_mean(name, extension_names("checks")))
            continue
        try:
            make_check(name, options)
        except Invalid as error:
            problems.add(error.message, where=where, hint=error.hint)
        found.append({"check": name, "options": options})
    return found


def _name_and_options(value: Json) -> tuple[str | None, JsonObject]:
    """`name`, `{name: {options}}`, or `{name: NAME, options…}`."""
    if isinstance(value, str):
        return value, {}
    if isinstance(value, Mapping):
        named = value.get("name")
        if isinstance(named, str):
            return named, {key: each for key, each in value.items() if key != "name"}
        if len(value) == 1:
            (name, options), *_ = value.items()
            if isinstance(options, Mapping):
                return name, options
            if options is None:
                return name, {}
    return None, {}
