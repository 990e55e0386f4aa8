"""The script of a test model: reading and checking its lines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import Files
from tidemill.core.json import Json, JsonObject, parse_json
from tidemill.core.suggest import did_you_mean

_KEYS = ("when", "reply", "tool_calls", "status", "retry_after", "after_tokens", "delay_ms")
_NUMBERS = ("status", "retry_after", "after_tokens", "delay_ms")


def read_script(given: Json, *, files: Files) -> tuple[list[JsonObject], list[Problem]]:
    """The rows of a script (a path to JSON lines, JSON lines as text, or a list), and what is wrong with them."""
    if isinstance(given, str):
        return _read_lines(given, files)
    if not isinstance(given, Sequence):
        return [], [Problem(message="script is a path to JSON lines, or a list of rows", where="script")]
    return _checked([(f"script.{index}", row) for index, row in enumerate(given)])


def _read_lines(given: str, files: Files) -> tuple[list[JsonObject], list[Problem]]:
    inline = given.lstrip().startswith("{")
    place = "script" if inline else given
    try:
        text = given if inline else files.read(given).decode("utf-8-sig")
    except Invalid as error:
        return [], [Problem(message=error.message, where=error.where or "script", hint=error.hint)]
    except UnicodeDecodeError as error:
        return [], [Problem(message=f"not UTF-8: {error}", where=place)]
    rows: list[tuple[str, Json]] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append((f"{place}:{number}", parse_json(line, what="the row")))
        except Invalid as error:
            problems.append(Problem(message=error.message, where=f"{place}:{number}", hint="Write one JSON object a line."))
    checked, mistakes = _checked(rows)
    return checked, problems + mistakes


def _checked(rows: Sequence[tuple[str, Json]]) -> tuple[list[JsonObject], list[Problem]]:
    if not rows:
        return [], [Problem(message="the script has no rows", where="script")]
    problems = [problem for where, row in rows for problem in _row_problems(row, where)]
    return [row for _, row in rows if isinstance(row, Mapping)], problems


def _row_problems(row: Json, where: str) -> list[Problem]:
    if not isinstance(row, Mapping):
        return [Problem(message="a row of a script is an object", where=where)]
    problems = [
        Problem(message=f"unknown key {key!r}", where=where, hint=did_you_mean(key, _KEYS)) for key in row if key not in _KEYS
    ]
    for key in _NUMBERS:
        value = row.get(key, 0)
        if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
            problems.append(Problem(message=f"{key} is {value!r}, but should be a number from 0", where=where))
    problems += _when_problems(row.get("when"), where)
    calls = row.get("tool_calls")
    if calls is not None and not (isinstance(calls, Sequence) and all(map(_names_a_tool, calls))):
        problems.append(Problem(message="tool_calls is a list of {name, arguments}", where=where))
    return problems


def _when_problems(when: Json, where: str) -> list[Problem]:
    if when is None:
        return []
    try:
        re.compile(cast("str", when))
    except (re.error, TypeError) as error:
        return [Problem(message=f"when is not a regular expression: {error}", where=where)]
    return []


def _names_a_tool(call: Json) -> bool:
    if not isinstance(call, Mapping):
        return False
    function = call.get("function", call)
    return isinstance(function, Mapping) and isinstance(function.get("name"), str)
