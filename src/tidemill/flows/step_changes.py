"""What changed in a list of steps: which came, went and moved, and what each of the others says otherwise."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from tidemill.core.difference import Difference, FieldChange, field_changes, is_list
from tidemill.core.json import Json, JsonObject
from tidemill.flows.names import step_id, steps_in

_SAID = ("id", "when", "with", "do", "args", "retries", "timeout", "fallback", "params")
"""What a step says besides what it does."""


def steps_difference(old: JsonObject, new: JsonObject) -> Difference:
    """Steps by their id, also those of branches, then everything else by path."""
    before, after = steps_in(old.get("steps")), steps_in(new.get("steps"))
    fields = field_changes({"steps": old.get("steps")}, {"steps": new.get("steps")})
    inside = [each for each in fields if not _is_whole(each) and not each.path.endswith(".order")]
    lines = [*_came_and_went(before, after), *_moved(before, after), *map(_step_line, inside)]
    rest = field_changes(old, new, apart_from=("steps",))
    return Difference(lines=(*lines, *(each.line() for each in rest)), fields=(*fields, *rest))


def _is_whole(change: FieldChange) -> bool:
    """Whether a step came or went as a whole."""
    return change.path.count(".") == 1 and change.effect != "change"


def _came_and_went(before: Sequence[JsonObject], after: Sequence[JsonObject]) -> list[str]:
    old, new = {step_id(each) for each in before}, {step_id(each) for each in after}
    gone = [f"- step {_named(each)}" for each in before if step_id(each) not in new]
    return gone + [f"+ step {_named(each)}" for each in after if step_id(each) not in old]


def _moved(before: Sequence[JsonObject], after: Sequence[JsonObject]) -> list[str]:
    """The fewest steps whose move explains the new order."""
    names = [step_id(each) for each in after]
    old = [step_id(each) for each in before if step_id(each) in names]
    known = set(old)
    new = [each for each in names if each in known]
    stay = {
        new[block.b + at]
        for block in difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
        for at in range(block.size)
    }
    return [f"~ step {each} moved {_place(names, each)}" for each in new if each not in stay]


def _place(names: Sequence[str], name: str) -> str:
    at = names.index(name)
    return f"after {names[at - 1]}" if at else "to the front"


def _step_line(change: FieldChange) -> str:
    """`~ step answer: model model/a -> model/b`."""
    _, _, path = change.path.partition(".")
    name, _, field = path.partition(".")
    return f"~ step {name}: {change.line(field)}" if field else f"~ step {change.line(name)}"


def _named(step: JsonObject) -> str:
    """The step's id, and what it does where that is one reference."""
    for key, value in step.items():
        if key in _SAID:
            continue
        target: Json = value.get("index") if isinstance(value, dict) else value
        if isinstance(target, str) and "/" in target and not is_list(target):
            return f"{step_id(step)} ({target})"
    return step_id(step)
