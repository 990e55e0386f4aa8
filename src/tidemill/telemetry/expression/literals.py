"""Values as people write them: texts, numbers, money, thousands of tokens, lengths of time, times."""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal
from typing import Final

from tidemill.core.errors import Invalid
from tidemill.core.suggest import did_you_mean
from tidemill.telemetry.expression.keys import COLUMNS, MILLISECONDS
from tidemill.telemetry.expression.syntax import Key, Operator, Value

_DIGITS: Final = r"\d{1,18}(?:\.\d{0,18})?|\.\d{1,18}"
_NUMBER: Final = re.compile(rf"\$?(-?)\$?({_DIGITS})(e[+-]?\d{{1,3}})?([kKM]?)", re.IGNORECASE)
_PLAIN: Final = re.compile(rf"-?(?:{_DIGITS})(?:e[+-]?\d{{1,3}})?", re.IGNORECASE)
_LENGTH: Final = re.compile(rf"({_DIGITS})\s*(ns|us|µs|ms|s|m|h|d)")
_UNITS: Final = {
    "ns": 1, "us": 1000, "µs": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9,
}  # fmt: skip
_LONGEST_NS: Final = 2**62
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_YEARS: Final = (1700, 2260)


def read_value(text: str, *, key: Key, written: str, operator: Operator, is_quoted: bool, now_ns: int | None) -> Value:
    """The value in the type of its key. Raises `Invalid`."""
    match key.type:
        case "text" | "list":
            return _text(text, key, written, operator)
        case "number":
            return _number(text, written)
        case "duration":
            return _length(text, written)
        case "time":
            return _time(text, written, now_ns)
        case "any":
            if operator in {"<", "<=", ">", ">="}:
                return _number(text, written)
            is_number = operator in {"=", "!=", "in", "not in"} and not is_quoted and _PLAIN.fullmatch(text)
            return _number(text, written) if is_number else text


def _text(text: str, key: Key, written: str, operator: Operator) -> str:
    known = COLUMNS[key.name].values if key.scope == "column" else ()
    if known and text and operator in {"=", "!=", "in", "not in"} and text not in known:
        raise Invalid(f"{written} is never {text[:80]!r}", hint=did_you_mean(text, known))
    if operator in {"~", "!~"} and not text.strip():
        raise Invalid(f"{written} {operator} needs words", hint=f'Write {written} {operator} "words".')
    return text


def _number(text: str, written: str) -> float:
    match = _NUMBER.fullmatch(text.replace(",", "") if re.fullmatch(r"\$?\d{1,3}(,\d{3})+", text) else text)
    if match is None:
        is_odd = text.lower().lstrip("+-") in {"nan", "inf", "infinity"}
        raise Invalid(
            f"{written} needs a {'finite ' if is_odd else ''}number, not {text[:80]!r}", hint=f"Write {written} > 100."
        )
    sign, digits, power, thousands = match.groups()
    number = float(sign + digits + (power or "")) * {"": 1, "k": 1e3, "m": 1e6}[thousands.lower()]
    if not math.isfinite(number):
        raise Invalid(f"{written} needs a finite number, not {text[:80]!r}")
    return number


def _length(text: str, written: str) -> int:
    match = _LENGTH.fullmatch(text.strip())
    if match is None and written in MILLISECONDS:
        match = _LENGTH.fullmatch(f"{text.strip()}ms")
    if match is None:
        example = "Write 2s or 800ms; units are ms, s, m and h."
        lacks = _PLAIN.fullmatch(text)
        raise Invalid(f"{written} needs {'a unit after' if lacks else 'a length of time, not'} {text[:80]!r}", hint=example)
    found = int(Decimal(match[1]) * _UNITS[match[2]])
    if found > _LONGEST_NS:
        raise Invalid(f"{written} is never as long as {text[:80]!r}", hint="Write 2s or 800ms.")
    return found


def _time(text: str, written: str, now_ns: int | None) -> int:
    hint = "Write 2026-01-31T12:00:00Z, 2026-01-31, or 2h for so long ago."
    ago = _LENGTH.fullmatch(text.strip().removeprefix("-"))
    if ago is not None and now_ns is not None:
        return (now_ns - min(_length(ago[0], written), now_ns)) // 1000 * 1000
    try:
        moment = dt.datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise Invalid(f"{written} needs a time, not {text[:80]!r}", hint=hint) from error
    if not _YEARS[0] < moment.year < _YEARS[1]:
        raise Invalid(f"{written} needs a time between the years {_YEARS[0]} and {_YEARS[1]}, not {text[:80]!r}", hint=hint)
    since = (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)) - _EPOCH
    return since // dt.timedelta(microseconds=1) * 1000
