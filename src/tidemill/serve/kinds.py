"""`kind: endpoint`: what a document may say of a stable address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from tidemill.core.difference import spec_difference
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import Files
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Parsed, Version
from tidemill.core.refs import is_digest, parse_ref
from tidemill.core.suggest import did_you_mean
from tidemill.models.cache.policy import read_cache
from tidemill.models.checks.named import KEY as GUARDRAILS
from tidemill.models.checks.named import read_guardrails, unfit_guardrails
from tidemill.models.limits.rules import read_limits
from tidemill.telemetry.rules.shares import parse_share

ROOTS: Final = ("chain", "agent", "prompt", "model", "route")
"""The kinds of application that can answer at an endpoint."""
_PLACES: Final = ("app", "release")
_CAPTURE: Final = "capture"
_LIMITS: Final = "limits"
_CACHE: Final = "cache"
_LATER: Final = ("rollout",)
_KEYS: Final = (*_PLACES, _CAPTURE, _LIMITS, _CACHE, GUARDRAILS)


class EndpointKind:
    """Configuration outside every digest: `app` (or `release`) says what answers here. `tidemill deploy` puts it live.

    One that names the alias of an environment, `chain/x@production`, follows it: `tidemill promote` puts it live. `capture`
    (`on`, `off` or a share from 0 to 1) says of how many of its traces inputs and outputs are kept, at most as many as the
    project's `telemetry/default` says. `limits` (`rpm`, `tpm`, `concurrency`, `budget` …) holds for all who call it together.
    `cache` says of answers of models below it how long they are kept and for whom, in place of what those models say.
    `guardrails` read what comes in and what goes out here, besides those of the application itself; the newest version holds.
    """

    name = "endpoint"
    versioned = False

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:  # noqa: ARG002  (the Protocol's argument)
        """Check a document's body. Raises `Invalid` with one problem a mistake."""
        problems = [_unknown(key) for key in body if key not in _KEYS]
        spec = dict(body)
        spec.update(_settings(body, problems))
        if all(place in body for place in _PLACES):
            problems.append(Problem(message="app and release say the same thing twice", where="release", hint="Keep one."))
        references: dict[str, str] = {}
        for place in _PLACES:
            if place in body:
                problem = _note_reference(body[place], place, references)
                problems.extend([problem] if problem else [])
        if body.get(GUARDRAILS) is not None:
            spec[GUARDRAILS] = cast("list[Json]", read_guardrails(body[GUARDRAILS], references, problems))
        if problems:
            raise Invalid(problems[0].message, where=problems[0].where, hint=problems[0].hint, problems=problems)
        return Parsed(spec=spec, references=references)

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:
        """Guardrails that cannot stand there."""
        return unfit_guardrails(spec, resolved)

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """A line for each key that changed."""
        return spec_difference(old, new).lines


def _settings(body: JsonObject, problems: list[Problem]) -> dict[str, Json]:
    """What is read of `capture`, `limits` and `cache`, as far as it is there; what is wrong is added to the problems."""
    found: dict[str, Json] = {}
    readers: tuple[tuple[str, Callable[[Json], Json]], ...] = (
        (_CAPTURE, parse_share), (_LIMITS, _limits), (_CACHE, lambda value: read_cache(value) or False)
    )  # fmt: skip
    for key, read in readers:
        if key not in body:
            continue
        try:
            found[key] = read(body[key])
        except Invalid as error:
            problems += error.problems or [Problem(message=error.message, where=error.where or key, hint=error.hint)]
    return found


def _limits(value: Json) -> JsonObject:
    if not isinstance(value, Mapping):
        raise Invalid(f"limits are {value!r}", hint="Write limits: {rpm: 600, budget: 10/day}.")
    return read_limits(value, where=_LIMITS)


def _unknown(key: str) -> Problem:
    if key in _LATER:
        return Problem(message=f"{key} is not built yet", where=key, hint="Leave it out.")
    return Problem(message=f"unknown key {key!r}", where=key, hint=did_you_mean(key, _KEYS))


def _note_reference(value: object, place: str, references: dict[str, str]) -> Problem | None:
    if not isinstance(value, str):
        return Problem(message=f"{place} is a reference, not {value!r}", where=place, hint="Write chain/NAME.")
    if is_digest(value):
        return None
    try:
        ref = parse_ref(value)
    except Invalid as error:
        return Problem(message=error.message, where=place, hint=error.hint)
    if ref.kind not in {*ROOTS, "release"}:
        return Problem(
            message=f"a {ref.kind} cannot answer at an endpoint", where=place, hint=f"One of {', '.join(ROOTS)} can."
        )
    if ref.kind != "release":
        references[place] = ref.bare if ref.alias else value  # an alias may be given later: see `tidemill promote`
    return None
