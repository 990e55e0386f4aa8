"""`kind: limits`: what somebody or something may use, outside every digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tidemill.core.difference import spec_difference
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import Files
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Parsed, Version
from tidemill.core.refs import check_name
from tidemill.models.limits.rules import read_limits

SUBJECTS: Final = ("key", "user", "team", "endpoint", "model")
"""What a document may be for, besides the whole project."""
_LOWEST, _HIGHEST = -9, 9
_MOST_WEIGHT = 100
_LONGEST = 256


class LimitsKind:
    """`for` says whose limits these are: `project`, `team/search`, `user/ana`, `endpoint/x`, `model/y`, or `user/*` for each.

    What `rules` describes stands beside it; `priority` (-9 to 9, 0 for what is usual) and `weight` (1 to 100, a share of the
    capacity) say who comes first when there is more to do than can be done. A document for one takes the place of one for each.
    """

    name = "limits"
    versioned = False

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:  # noqa: ARG002  (the Protocol's argument)
        """Check a document's body. Raises `Invalid` with one problem a mistake."""
        problems: list[Problem] = []
        rest = {key: value for key, value in body.items() if key not in {"for", "priority", "weight"}}
        spec: dict[str, Json] = {}
        try:
            spec = dict(read_limits(rest))
        except Invalid as error:
            problems += error.problems
        for key, low, high in (("priority", _LOWEST, _HIGHEST), ("weight", 1, _MOST_WEIGHT)):
            if key in body:
                value = body[key]
                if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                    hint = f"Write a whole number from {low} to {high}."
                    problems.append(Problem(message=f"{key} is {value!r}", where=key, hint=hint))
                spec[key] = value
        try:
            spec["for"] = read_subject(body.get("for", "project"))
        except Invalid as error:
            problems.append(Problem(message=error.message, where="for", hint=error.hint))
        if len(spec) == 1 and not problems:
            problems.append(Problem(message="the document limits nothing", hint="Write rpm, tpm, concurrency or budget."))
        if problems:
            raise Invalid(problems[0].message, where=problems[0].where, hint=problems[0].hint, problems=problems)
        return Parsed(spec={key: spec[key] for key in sorted(spec)}, references={})

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:  # noqa: ARG002  (the Protocol's)
        """Nothing shows only beside what it references."""
        return ()

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """A line for each limit that changed."""
        return spec_difference(old, new).lines


def read_subject(value: Json) -> str:
    """Whose limits they are. Raises `Invalid`. Users are named as the client names them, the others as documents are."""
    hint = "Write project, key/ID, team/NAME, user/NAME, endpoint/NAME or model/NAME; user/* is for each."
    if value == "project":
        return "project"
    kind, slash, name = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not slash or kind not in SUBJECTS or not 0 < len(name) <= _LONGEST:
        raise Invalid(f"limits cannot be for {value!r}", hint=hint)
    if name != "*" and kind != "user":
        check_name(name, what=kind)
    return f"{kind}/{name}"
