"""`kind: guardrail`: checks on a text, and what to do when one finds something."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from tidemill.core.difference import spec_difference
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import Check, Files, Surroundings, extension_names, load_extension
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Material, Parsed, Version
from tidemill.core.suggest import did_you_mean
from tidemill.flows.material import guardrail_body
from tidemill.prompts.fields import Fields, Problems, one_or_many, type_name

POINTS: Final = ("input", "output", "context", "tool")
ACTIONS: Final = ("allow", "redact", "block", "escalate")
_FORM: Final = "Write check: {denylist: {words: […]}}, {regex: {pattern: …}} or {max_length: {characters: …}}."


class GuardrailKind:
    """`on` says what it reads, `check` what it looks for, `action` what happens to what was found.

    `allow` and `escalate` let the text pass with a note, `redact` replaces what was found, `block` refuses the text, with
    `message` as the answer when there is one.
    """

    name = "guardrail"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:  # noqa: ARG002  (the Protocol's argument)
        """Canonical form: `on`, `checks: [{check, options}]`, `action`, and `message` or `replacement`."""
        problems = Problems()
        fields = Fields(body, problems=problems)
        fields.only(("on", "check", "action", "message", "replacement"), what="a guardrail")
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
