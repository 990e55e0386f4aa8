"""What an expression is made of once it is read, and how it is written back. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, TypeAlias

Scope: TypeAlias = Literal["column", "tag", "score", "feedback", "attribute", "resource"]
Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">=", "~", "!~", "in", "not in", "exists", "has"]
Type: TypeAlias = Literal["text", "list", "number", "duration", "time", "any"]
Value: TypeAlias = str | int | float
"""Text; a number (float); nanoseconds of a length of time, or since the epoch (int)."""

_PLAIN: Final = re.compile(r"[A-Za-z_][\w\-]*")
_SEGMENT: Final = re.compile(r"[\w\-]+")
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Key:
    """What is asked about: a column by its own name, or the name of a tag, score, feedback, attribute or resource attribute.

    `type` is `any` where texts and numbers are both possible. Feedback of no name is all of it.
    """

    scope: Scope
    name: str
    type: Type = "any"


@dataclass(frozen=True, slots=True)
class Condition:
    """One key held against values: several for `in` and `not in`, none for `exists`, else one."""

    key: Key
    operator: Operator
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of them."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite. What is missing meets no comparison, so it meets the opposite of one."""

    part: Expression


Expression: TypeAlias = And | Or | Not | Condition
EVERYTHING: Final = And(())
"""It is met by every span."""


def format_expression(expression: Expression) -> str:
    """The expression in its plain form; reading that gives the same expression."""
    return "" if expression == And(()) else _written(expression, inside=False)


def _written(expression: Expression, *, inside: bool) -> str:
    match expression:
        case And(parts):
            text = " and ".join(_written(each, inside=True) for each in parts)
        case Or(parts):
            text = " or ".join(_written(each, inside=True) for each in parts)
        case Not(part):
            return f"not {_written(part, inside=True)}"
        case Condition():
            return _condition(expression)
    return f"({text})" if inside else text


def _condition(condition: Condition) -> str:
    key = format_key(condition.key)
    if condition.operator == "exists":
        return f"{key} exists"
    values = [_value(each, condition.key.type) for each in condition.values]
    shown = f"({', '.join(values)})" if condition.operator in {"in", "not in"} else values[0]
    return f"{key} {condition.operator} {shown}"


def format_key(key: Key) -> str:
    """A key as it is written in an expression."""
    if key.scope == "column" or not key.name:
        return key.name or key.scope
    segments = key.name.split(".")
    if key.scope == "attribute":
        plain = len(segments) > 1 and _PLAIN.fullmatch(segments[0]) and all(map(_SEGMENT.fullmatch, segments[1:]))
        if plain and segments[0] not in {"tag", "score", "feedback", "attr", "resource"}:
            return key.name
        return f"attr.{quoted(key.name)}"
    plain = all(map(_SEGMENT.fullmatch, segments))
    return f"{key.scope}.{key.name if plain else quoted(key.name)}"


def quoted(text: str) -> str:
    """A text in double quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _value(value: Value, kind: Type) -> str:
    if isinstance(value, str):
        return quoted(value)
    if kind == "duration":
        return length_text(int(value))
    if kind == "time":
        return moment_text(int(value))
    return format(Decimal(repr(value)).normalize(), "f")


def length_text(ns: int) -> str:
    """Nanoseconds as an exact length of time in one unit."""
    for unit, size in (("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1000)):
        if ns and ns % size == 0:
            return f"{ns // size}{unit}"
    return f"{ns}ns" if ns else "0s"


def moment_text(ns: int) -> str:
    """Nanoseconds since the epoch as a time in UTC, to the microsecond."""
    seconds, rest = divmod(ns, 1_000_000_000)
    moment = _EPOCH + dt.timedelta(seconds=seconds, microseconds=rest // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def conditions_of(expression: Expression) -> Iterator[Condition]:
    """Every condition in it."""
    match expression:
        case And(parts) | Or(parts):
            for each in parts:
                yield from conditions_of(each)
        case Not(part):
            yield from conditions_of(part)
        case Condition():
            yield expression


def values_of(expression: Expression, column: str) -> Sequence[str]:
    """The texts that a column is held against, each once: a caller may have to resolve them (`handbook@production`)."""
    found = [
        value
        for each in conditions_of(expression)
        if each.key == Key("column", column, "text") and each.operator in {"=", "!=", "in", "not in"}
        for value in each.values
    ]
    return list(dict.fromkeys(str(value) for value in found))


def replace_values(expression: Expression, column: str, known: Mapping[str, str]) -> Expression:
    """The expression with a column's values put in the place of what they were called."""
    match expression:
        case And(parts):
            return And(tuple(replace_values(each, column, known) for each in parts))
        case Or(parts):
            return Or(tuple(replace_values(each, column, known) for each in parts))
        case Not(part):
            return Not(replace_values(part, column, known))
        case Condition(key, operator, values):
            if key != Key("column", column, "text") or operator not in {"=", "!=", "in", "not in"}:
                return expression
            return Condition(key, operator, tuple(known.get(str(value), value) for value in values))


def bounds_of(expression: Expression) -> tuple[int | None, int | None]:
    """From when (included) to when (not included) a span must have begun, as far as the expression says so for all it finds."""
    parts = expression.parts if isinstance(expression, And) else (expression,)
    lows, highs = list[int](), list[int]()
    for each in parts:
        if not isinstance(each, Condition) or each.key.name != "start" or each.key.scope != "column":
            continue
        at = int(each.values[0]) if each.values else 0
        if each.operator in {">", ">=", "="}:
            lows.append(at)
        if each.operator in {"<", "<=", "="}:
            highs.append(at + 1)
    return max(lows, default=None), min(highs, default=None)
