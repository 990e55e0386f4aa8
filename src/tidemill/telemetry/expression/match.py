"""An expression asked of a span in memory: the same answer as the store gives of its row."""

from __future__ import annotations

import math
import operator as signs
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from tidemill.core.records import SpanRecord
from tidemill.telemetry.expression.keys import COLUMNS
from tidemill.telemetry.expression.syntax import And, Condition, Expression, Key, Not, Operator, Or, Value
from tidemill.telemetry.expression.words import has_words
from tidemill.telemetry.row import encode_value

_COMPARED: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": signs.lt, "<=": signs.le, ">": signs.gt, ">=": signs.ge, "=": signs.eq,
}  # fmt: skip
_OPPOSITE: Final[dict[Operator, Operator]] = {"!=": "=", "!~": "~", "not in": "in"}
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_NOTHING: Final[Mapping[str, Sequence[float]]] = {}
_UNSAID: Final[Mapping[str, Sequence[float | str]]] = {}


def matches(
    expression: Expression,
    record: SpanRecord,
    *,
    scores: Mapping[str, Sequence[float]] = _NOTHING,
    feedback: Mapping[str, Sequence[float | str]] = _UNSAID,
) -> bool:
    """Whether a span meets the expression by itself.

    `scores` and `feedback` are what is known of its trace, by name; feedback without a name is under an empty one. When it came
    (`received`) is not known of a span in memory, so nothing is asked of it there.
    """
    match expression:
        case And(parts):
            return all(matches(each, record, scores=scores, feedback=feedback) for each in parts)
        case Or(parts):
            return any(matches(each, record, scores=scores, feedback=feedback) for each in parts)
        case Not(part):
            return not matches(part, record, scores=scores, feedback=feedback)
        case Condition(key, operator, values):
            if key.scope == "score":
                return _said(scores.get(key.name, ()), operator, values)
            if key.scope == "feedback":
                named = feedback.get(key.name, ()) if key.name else [each for all_ in feedback.values() for each in all_]
                return _said(named, operator, values)
            return _meets(record, key, operator, values)


def _said(said: Sequence[float | str], operator: Operator, values: tuple[Value, ...]) -> bool:
    if operator == "exists":
        return bool(said)
    positive = _OPPOSITE.get(operator)
    if positive is not None:
        return any(not _any_meets(each, positive, values) for each in said)
    return any(_any_meets(each, operator, values) for each in said)


def _any_meets(held: float | str, operator: Operator, values: tuple[Value, ...]) -> bool:
    if operator in {"~", "has"}:
        wanted = str(values[0])
        return has_words(str(held), wanted) if operator == "~" else wanted in str(held)
    if operator in {"=", "in"}:
        return any(held == each for each in values if isinstance(each, str) is isinstance(held, str))
    return not isinstance(held, str) and _COMPARED[operator](held, float(values[0]))


def _meets(record: SpanRecord, key: Key, operator: Operator, values: tuple[Value, ...]) -> bool:
    positive = _OPPOSITE.get(operator)
    if positive is not None:
        if key.type == "list" and values == ("",):
            return _meets(record, key, "exists", ())
        return not _meets(record, key, positive, values)
    if key.scope == "tag":
        return _list_meets(_tag_values(record, key.name), operator, values, has_piece=True)
    if key.scope in {"attribute", "resource"}:
        held = record.attributes if key.scope == "attribute" else record.resource
        return _attribute_meets((encode_value(held[key.name]) or "null") if key.name in held else "", operator, values)
    if key.type == "list":
        held = cast("Sequence[object]", COLUMNS[key.name].get(record) or ())
        if operator == "=" and values == ("",):
            return not held
        return _list_meets([str(each) for each in held], operator, values, has_piece=False)
    if key.type == "text":
        return _text_meets(record, key.name, operator, values)
    return _number_meets(record, key.name, operator, values)


def _tag_values(record: SpanRecord, name: str) -> list[str]:
    return [tag[len(name) + 1 :] for tag in record.tags if tag.startswith((f"{name}=", f"{name}:"))]


def _list_meets(held: Sequence[str], operator: Operator, values: tuple[Value, ...], *, has_piece: bool) -> bool:
    if operator == "exists":
        return bool(held)
    if operator == "~":
        return has_words(" ".join(held), str(values[0]))
    if operator == "has" and has_piece:
        return any(str(values[0]) in each for each in held)
    return any(each in held for each in values)


def _text_meets(record: SpanRecord, name: str, operator: Operator, values: tuple[Value, ...]) -> bool:
    if name == "text":
        held = " ".join((record.name, record.error or "", encode_value(record.input), encode_value(record.output)))
    else:
        found = COLUMNS[name].get(record)
        if name in {"input", "output"}:
            held = encode_value(cast("str | None", found))
        else:
            held = found if isinstance(found, str) else ""
    if operator == "exists":
        return held != ""
    if operator == "~":
        return has_words(held, str(values[0]))
    if operator == "has":
        return str(values[0]) in held
    forms = {str(each) for each in values}
    return held in (forms | {encode_value(each) for each in forms} if name in {"input", "output"} else forms)


def _attribute_meets(held: str, operator: Operator, values: tuple[Value, ...]) -> bool:
    if operator == "exists":
        return held != ""
    if operator in {"~", "has"}:
        wanted = str(values[0])
        return has_words(held, wanted) if operator == "~" else wanted in held
    inner = held.strip('"')
    number = float(inner) if _NUMBER.fullmatch(inner) else math.nan
    if operator in {"=", "in"}:
        return any(held in {each, encode_value(each)} if isinstance(each, str) else number == each for each in values)
    return _COMPARED[operator](number, float(values[0]))


def _number_meets(record: SpanRecord, name: str, operator: Operator, values: tuple[Value, ...]) -> bool:
    found = cast("float | None", COLUMNS[name].get(record))
    if operator == "exists":
        return name == "received" or (found is not None and (COLUMNS[name].type != "number" or name == "cost" or found != 0))
    number = math.nan if found is None else float(found)
    if operator == "in":
        return any(number == float(each) for each in values)
    return _COMPARED[operator](number, float(values[0]))
