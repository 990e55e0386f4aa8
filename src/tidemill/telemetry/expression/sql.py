"""An expression as conditions in ClickHouse's SQL. The text is made of constants of ours only; keys and values are bound."""

from __future__ import annotations

import json
from typing import Final

import orjson

from tidemill.telemetry.expression.keys import COLUMNS, Column
from tidemill.telemetry.expression.syntax import And, Condition, Expression, Key, Not, Operator, Or, Value, conditions_of
from tidemill.telemetry.expression.where import Where
from tidemill.telemetry.expression.words import piece_pattern, split_words, word_pattern
from tidemill.telemetry.schema.spans import SEARCHED

_INDEXED: Final = frozenset({"name", "error", "input", "output"})
_OPPOSITE: Final[dict[Operator, Operator]] = {"!=": "=", "!~": "~", "not in": "in"}
_PLAIN: Final = "replaceRegexpAll({}, '\\\\\\\\[nrt]', ' ')"


def compile_spans(expression: Expression, where: Where, *, project: str) -> None:
    """Add that a span (a row of `spans`) meets the expression by itself; scores and feedback are its trace's."""
    if expression != And(()):
        where.add(_Compiler(where, project, within=None).of(expression))


def compile_traces(expression: Expression, where: Where, *, project: str, within: str = "1") -> None:
    """Add that `trace_id` is that of a trace with one span that meets all that is asked of a span.

    What is asked of a whole trace (user, session, tags, release, endpoint, variant, environment, scores, feedback) may stand on
    any of its spans, and must not stand on any where the expression says so. `within` narrows the spans that are looked at.
    """
    if expression == And(()):
        return
    compiler = _Compiler(where, project, within=within)
    found = compiler.of(expression)
    if not all(_is_of_trace(each.key) for each in conditions_of(expression)):
        found = compiler.traces(found)
    where.add(found)


def add_words(where: Where, text: str) -> None:
    """Ask that every word of `text` stands in the span's name, error, input or output, whatever its case."""
    if text.strip():
        where.add(_words(where, COLUMNS["text"], text))


def _is_of_trace(key: Key) -> bool:
    if key.scope == "column":
        return COLUMNS[key.name].of_trace or key.name == "trace"
    return key.scope in {"tag", "score", "feedback"}


class _Compiler:
    """`within` is None where each span is asked by itself."""

    def __init__(self, where: Where, project: str, *, within: str | None) -> None:
        self._where = where
        self._project = where.bind(project, "String")
        self._within = within

    def of(self, expression: Expression) -> str:
        match expression:
            case And(parts):
                return " AND ".join(f"({self.of(each)})" for each in parts) or "1"
            case Or(parts):
                return " OR ".join(f"({self.of(each)})" for each in parts) or "0"
            case Not(part):
                return f"NOT ({self.of(part)})"
            case Condition(key, operator, values):
                return self._condition(key, operator, values)

    def traces(self, clause: str) -> str:
        """That the trace is among those of the spans that meet a condition."""
        return f"trace_id IN (SELECT trace_id FROM spans WHERE project = {self._project} AND ({self._within}) AND ({clause}))"  # noqa: S608  (bound parameters)

    def _condition(self, key: Key, operator: Operator, values: tuple[Value, ...]) -> str:
        if key.scope in {"score", "feedback"}:
            return self._said(key, operator, values)
        if values == ("",) and operator in {"=", "!="} and (key.type == "list" or self._asks_whole(key)):
            there = self._condition(key, "exists", ())
            return there if operator == "!=" else f"NOT ({there})"
        positive = _OPPOSITE.get(operator)
        if positive is not None:
            return f"NOT ({self._condition(key, positive, values)})"
        clause = self._of_span(key, operator, values)
        return self.traces(clause) if self._asks_whole(key) and key.name != "trace" else clause

    def _asks_whole(self, key: Key) -> bool:
        return self._within is not None and _is_of_trace(key)

    def _of_span(self, key: Key, operator: Operator, values: tuple[Value, ...]) -> str:
        if key.scope == "tag":
            return self._tag(key.name, operator, values)
        if key.scope in {"attribute", "resource"}:
            return self._attribute(key, operator, values)
        column = COLUMNS[key.name]
        if column.type == "list":
            return self._list(column, operator, values)
        if column.type == "text":
            return self._text(column, operator, values)
        return self._number(column, operator, values)

    def _text(self, column: Column, operator: Operator, values: tuple[Value, ...]) -> str:
        if operator == "exists":
            return f"{column.sql} != ''"
        if operator == "~":
            return _words(self._where, column, str(values[0]))
        if operator == "has":
            return f"position({column.sql}, {self._where.bind(str(values[0]), 'String')}) > 0"
        if column.name in {"input", "output"}:
            values = tuple(form for value in values for form in (str(value), _json(str(value))))
        return f"{column.sql} IN ({self._texts(values)})"

    def _texts(self, values: tuple[Value, ...]) -> str:
        return self._where.bind([str(each) for each in values], "Array(String)")

    def _list(self, column: Column, operator: Operator, values: tuple[Value, ...]) -> str:
        if operator == "exists":
            return f"notEmpty({column.sql})"
        if operator == "~":
            return _words(self._where, column, str(values[0]), sql=f"arrayStringConcat({column.sql}, ' ')")
        return f"hasAny({column.sql}, {self._texts(values)})"

    def _tag(self, name: str, operator: Operator, values: tuple[Value, ...]) -> str:
        if operator in {"=", "in"}:
            return f"hasAny(tags, {self._texts(tuple(f'{name}{mark}{value}' for value in values for mark in '=:'))})"
        starts = self._where.bind([f"{name}=", f"{name}:"], "Array(String)")
        named = f"arrayExists(begins -> startsWith(tag, begins), {starts})"
        if operator == "exists":
            return f"arrayExists(tag -> {named}, tags)"
        given = f"arrayMap(tag -> substring(tag, length({starts}[1]) + 1), arrayFilter(tag -> {named}, tags))"
        if operator == "~":
            return _words(self._where, COLUMNS["tag"], str(values[0]), sql=f"arrayStringConcat({given}, ' ')")
        return f"arrayExists(tag -> position(tag, {self._where.bind(str(values[0]), 'String')}) > 0, {given})"

    def _attribute(self, key: Key, operator: Operator, values: tuple[Value, ...]) -> str:
        held = f"{'attributes' if key.scope == 'attribute' else 'resource'}[{self._where.bind(key.name, 'String')}]"
        if operator == "exists":
            return f"{held} != ''"
        if operator == "~":
            return _words(self._where, COLUMNS["name"], str(values[0]), sql=held, indexed=False)
        if operator == "has":
            return f"position({held}, {self._where.bind(str(values[0]), 'String')}) > 0"
        number = f"ifNull(toFloat64OrNull(trim(BOTH '\"' FROM {held})), nan)"
        if operator not in {"=", "in"}:
            return f"{number} {operator} {self._where.bind(values[0], 'Float64')}"
        texts = [form for value in values if isinstance(value, str) for form in (value, _json(value))]
        numbers = [value for value in values if not isinstance(value, str)]
        found = [f"{held} IN ({self._where.bind(texts, 'Array(String)')})"] if texts else []
        found += [f"{number} IN ({self._where.bind(numbers, 'Array(Float64)')})"] if numbers else []
        return " OR ".join(found)

    def _number(self, column: Column, operator: Operator, values: tuple[Value, ...]) -> str:
        if operator == "exists":
            return {"time": "1", "duration": f"isFinite({column.sql})"}.get(
                column.type, f"isFinite({column.sql})" if column.name == "cost" else f"{column.sql} != 0"
            )
        if column.type == "time":
            held = [f"fromUnixTimestamp64Nano({self._where.bind(int(each), 'Int64')})" for each in values]
            if operator == "in":
                return " OR ".join(f"{column.sql} = {each}" for each in held)
            return f"{column.sql} {operator} {held[0]}"
        if operator == "in":
            return f"{column.sql} IN ({self._where.bind([float(each) for each in values], 'Array(Float64)')})"
        return f"{column.sql} {operator} {self._where.bind(float(values[0]), 'Float64')}"

    def _said(self, key: Key, operator: Operator, values: tuple[Value, ...]) -> str:
        """Of what was scored and said of the trace: `!=` asks for one that is otherwise, the others for one that is so."""
        clauses = [f"project = {self._project}", "removed = 0"]
        if key.scope == "feedback":
            clauses.append("source = 'feedback'")
        if key.name:
            clauses.append(f"name = {self._where.bind(key.name, 'String')}")
        positive = _OPPOSITE.get(operator, operator)
        if positive != "exists":
            clause = self._said_value(positive, values)
            clauses.append(f"NOT ({clause})" if positive != operator else clause)
        return f"trace_id IN (SELECT trace_id FROM scores FINAL WHERE {' AND '.join(f'({each})' for each in clauses)})"  # noqa: S608  (bound parameters)

    def _said_value(self, operator: Operator, values: tuple[Value, ...]) -> str:
        if operator == "~":
            return _words(self._where, COLUMNS["name"], str(values[0]), sql="text", indexed=False)
        if operator == "has":
            return f"position(text, {self._where.bind(str(values[0]), 'String')}) > 0"
        number = "ifNull(value, nan)"
        if operator not in {"=", "in"}:
            return f"{number} {operator} {self._where.bind(values[0], 'Float64')}"
        found = list[str]()
        if texts := [each for each in values if isinstance(each, str)]:
            found.append(f"text IN ({self._where.bind(texts, 'Array(String)')})")
        if numbers := [each for each in values if not isinstance(each, str)]:
            found.append(f"{number} IN ({self._where.bind(numbers, 'Array(Float64)')})")
        return " OR ".join(found)


def _words(where: Where, column: Column, text: str, *, sql: str = "", indexed: bool = True) -> str:
    """That every word stands in a column. The index of words finds the blocks; which column it was is looked at there."""
    plain, others = split_words(text)
    in_all = indexed and not sql and (column.name == "text" or column.name in _INDEXED)
    found = [f"hasAllTokens({SEARCHED}, {where.bind(plain, 'Array(String)')})"] if in_all and plain else []
    searched = SEARCHED if column.name == "text" and not sql else _PLAIN.format(sql or column.sql)
    patterns = [] if column.name == "text" and in_all else [word_pattern(word) for word in plain]
    patterns += [piece_pattern(other) for other in others]
    found += [f"match({searched}, {where.bind(pattern, 'String')})" for pattern in patterns]
    return " AND ".join(found) or "1"


def _json(text: str) -> str:
    """A text as it stands in a row: JSON."""
    try:
        return orjson.dumps(text).decode()
    except orjson.JSONEncodeError:  # a lone surrogate
        return json.dumps(text, ensure_ascii=False).encode("utf-8", "replace").decode()
