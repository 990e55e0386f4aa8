"""The filter of a list of traces: words to find, and conditions, joined by "and".

    status=error release=sha256:4be1… duration_ms>500 "context manager" gen_ai.request.model=gpt-4o

A condition is KEY OPERATOR VALUE without spaces around the operator (`=`, `!=`, `>`, `>=`, `<`, `<=`). A key with a dot is
an attribute. A trace is found when one and the same span of it meets everything.
"""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass, field
from typing import Final

from tidemill.core.errors import Invalid
from tidemill.core.suggest import did_you_mean
from tidemill.telemetry.schema import SEARCHED

_CONDITION: Final = re.compile(r"([A-Za-z_][\w.\-]*)(!=|>=|<=|=|>|<)(.*)", re.DOTALL)
_WORD: Final = re.compile(r"[0-9A-Za-z\u0080-\U0010ffff]+")
_TEXTS: Final = {
    "name": "name", "kind": "kind", "status": "status", "model": "model", "release": "release", "endpoint": "endpoint",
    "step": "step", "user": "user", "session": "session", "trace": "trace_id",
}  # fmt: skip
_NUMBERS: Final = {
    "duration_ms": "duration_ns / 1e6", "cost": "cost", "input_tokens": "input_tokens", "output_tokens": "output_tokens",
}  # fmt: skip
_TAG: Final = "tag"


@dataclass(kw_only=True, slots=True)
class Where:
    """A condition in SQL and the values it is bound to."""

    clauses: list[str] = field(default_factory=list[str])
    parameters: dict[str, object] = field(default_factory=dict[str, object])

    def add(self, clause: str, **values: object) -> None:
        """One more condition; `{name}` in it stands for a value, with its ClickHouse type, as in `{name:String}`."""
        for name, value in values.items():
            unique = f"{name}{len(self.parameters)}"
            clause = clause.replace(f"{{{name}:", f"{{{unique}:")
            self.parameters[unique] = value
        self.clauses.append(clause)

    @property
    def sql(self) -> str:
        """All conditions joined."""
        return " AND ".join(f"({each})" for each in self.clauses) or "1"


def add_filter(where: Where, text: str) -> None:
    """Add what a filter says. Raises `Invalid` for an unknown key, an operator that does not fit, an open quote."""
    try:
        terms = shlex.split(text)
    except ValueError as error:
        raise Invalid(f"the filter {text!r} has an open quote", hint="Close it, or leave it out.") from error
    for term in terms:
        condition = _CONDITION.fullmatch(term)
        if condition is None:
            add_words(where, term)
        else:
            _add_condition(where, *condition.groups())


def add_words(where: Where, text: str) -> None:
    """Ask that every word of `text` stands in the span's name, error, input or output, whatever its case."""
    words = _WORD.findall(text)
    plain = sorted({word.lower() for word in words if word.isascii()})
    if plain:
        where.add(f"hasAllTokens({SEARCHED}, {{words:Array(String)}})", words=plain)
    others = {word for word in words if not word.isascii()} or ({text.strip()} if text.strip() and not words else set[str]())
    for other in sorted(others):
        # Scripts without spaces between words have no tokens, so these are looked for anywhere.
        where.add(f"match({SEARCHED}, {{pattern:String}})", pattern=f"(?i){re.escape(other)}")


def _add_condition(where: Where, key: str, operator: str, value: str) -> None:
    if key in _NUMBERS:
        where.add(f"{_NUMBERS[key]} {operator} {{number:Float64}}", number=_number(key, value))
        return
    if operator not in {"=", "!="}:
        raise Invalid(f"{key!r} cannot be compared by {operator}", hint=f"Write {key}=VALUE. Numbers: {', '.join(_NUMBERS)}.")
    if key == _TAG:
        where.add(f"{'NOT ' if operator == '!=' else ''}has(tags, {{tag:String}})", tag=value)
    elif key in _TEXTS:
        where.add(f"{_TEXTS[key]} {operator} {{text:String}}", text=value)
    elif "." in key:
        where.add(f"{_ATTRIBUTE} {operator} {{text:String}}", key=key, text=value)
    else:
        raise Invalid(f"unknown filter key {key!r}", hint=did_you_mean(key, [*_TEXTS, *_NUMBERS, _TAG]))


_ATTRIBUTE: Final = "trim(BOTH '\"' FROM attributes[{key:String}])"


def _number(key: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError as error:
        raise Invalid(f"{key} needs a number, not {value!r}", hint=f"Write {key}>100.") from error
    if not math.isfinite(number):
        raise Invalid(f"{key} needs a finite number, not {value!r}")
    return number
