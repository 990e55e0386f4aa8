"""Reads an expression. Recursive descent: or, and (also by standing side by side), not, brackets, conditions, words."""

from __future__ import annotations

from typing import Final

from tidemill.core.errors import Invalid
from tidemill.core.suggest import did_you_mean
from tidemill.telemetry.expression.keys import MILLISECONDS, NAMES
from tidemill.telemetry.expression.lexer import Piece, Source, unquoted
from tidemill.telemetry.expression.literals import read_value
from tidemill.telemetry.expression.syntax import And, Condition, Expression, Key, Not, Operator, Or, Scope, Type, Value

DEEPEST: Final = 40
MOST_CONDITIONS: Final = 200
MOST_VALUES: Final = 1000
_TEXT: Final = Key("column", "text", "text")
_SCOPES: Final[dict[str, tuple[Scope, Type]]] = {
    "tag": ("tag", "text"), "score": ("score", "number"), "feedback": ("feedback", "any"), "attr": ("attribute", "any"),
    "resource": ("resource", "any"),
}  # fmt: skip
_SIGNS: Final[dict[str, Operator]] = {
    "=": "=", "==": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "~": "~", "!~": "!~",
}  # fmt: skip
_WORDS: Final = frozenset({"in", "not", "exists", "has"})
_FITS: Final[dict[Type, frozenset[str]]] = {
    "text": frozenset({"=", "!=", "~", "!~", "in", "not in", "exists", "has"}),
    "list": frozenset({"=", "!=", "~", "!~", "in", "not in", "exists", "has"}),
    "number": frozenset({"=", "!=", "<", "<=", ">", ">=", "in", "not in", "exists"}),
    "duration": frozenset({"=", "!=", "<", "<=", ">", ">=", "in", "not in", "exists"}),
    "time": frozenset({"=", "!=", "<", "<=", ">", ">=", "in", "not in", "exists"}),
    "any": frozenset({"=", "!=", "<", "<=", ">", ">=", "~", "!~", "in", "not in", "exists", "has"}),
}


def parse(text: str, *, now_ns: int | None = None) -> Expression:
    """The expression in `text`; `And(())` for an empty one.

    `now_ns` is what a length of time is counted back from where a time is meant (`start > 2h`). Raises `Invalid`, which says
    where, for what cannot be read, an unknown key, an operator or a value that does not fit, and for more than 8,000
    characters, 200 conditions, 40 brackets within each other or 1,000 values of one condition.
    """
    return _Parser(Source(text), now_ns).whole()


class _Parser:
    def __init__(self, source: Source, now_ns: int | None) -> None:
        self._source = source
        self._now_ns = now_ns
        self._depth = 0
        self._count = 0

    def whole(self) -> Expression:
        if self._source.next().kind == "end":
            return And(())
        found = self._or()
        rest = self._source.next()
        if rest.kind != "end":
            raise self._source.wrong(f"{rest.text!r} has nothing that it belongs to", rest.start, hint=_hint(rest))
        return found

    def _or(self) -> Expression:
        parts = [self._and()]
        while self._takes("or"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _and(self) -> Expression:
        parts = [self._not()]
        while True:
            piece = self._source.next()
            begins = piece.kind in {"open", "text"} or (piece.kind == "word" and piece.text.lower() != "or")
            if not self._takes("and") and not begins:
                return parts[0] if len(parts) == 1 else And(tuple(parts))
            parts.append(self._not())

    def _not(self) -> Expression:
        start = self._source.next().start
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._source.wrong(f"the filter goes deeper than {DEEPEST} brackets", start, hint="Ask for less at once.")
        try:
            return Not(self._not()) if self._takes("not") else self._atom()
        finally:
            self._depth -= 1

    def _takes(self, keyword: str) -> bool:
        """Whether the next piece is this word, which is then passed."""
        piece = self._source.next()
        if piece.kind != "word" or piece.text.lower() != keyword or self._source.next(at=piece.end).kind == "operator":
            return False
        self._source.at = piece.end
        return True

    def _atom(self) -> Expression:
        piece = self._source.next()
        if piece.kind == "open":
            self._source.at = piece.end
            found = self._or()
            closing = self._source.next()
            if closing.kind != "close":
                raise self._source.wrong("this bracket is not closed", piece.start, hint="Close it with ).")
            self._source.at = closing.end
            return found
        if piece.kind == "end":
            raise self._source.wrong("the filter ends where something is to be found", piece.start, hint=_EXAMPLE)
        if piece.kind in {"operator", "close", "comma"}:
            raise self._source.wrong(f"{piece.text!r} has nothing that it belongs to", piece.start, hint=_hint(piece))
        self._count += 1
        if self._count > MOST_CONDITIONS:
            raise Invalid(f"the filter has more than {MOST_CONDITIONS} conditions", hint="Write KEY in (…), or ask for less.")
        return self._condition() or self._words(piece)

    def _words(self, piece: Piece) -> Condition:
        if piece.kind == "word" and piece.text.lower() in {"and", "or"}:
            raise self._source.wrong(
                f"{piece.text!r} has nothing before it", piece.start, hint="Put it into quotes if meant so."
            )
        after = self._source.next(at=piece.end)
        if after.kind == "operator":
            raise self._source.wrong(f"{piece.text!r} is no key", piece.start, hint="Write KEY = VALUE, or put it into quotes.")
        self._source.at = piece.end
        return Condition(_TEXT, "~", (piece.text,))

    def _condition(self) -> Condition | None:
        """The condition that begins here; None when there are only words."""
        found = self._source.key()
        if found is None:
            return None
        written, end = found
        if not self._source.ends_at(end):
            return None
        start, after = self._source.at, self._source.next(at=end)
        operator, behind = self._operator(written, after)
        if operator is None:
            return None
        key = self._key(written, start)
        if operator not in _FITS[key.type]:
            kind = {"text": "text", "list": "texts"}.get(key.type, "numbers")
            hint = f"It is {kind}: {written}=VALUE." if key.type in {"text", "list"} else f"It is {kind}: {written} > 100."
            raise self._source.wrong(f"{written!r} cannot be compared by {operator}", after.start, hint=hint)
        self._source.at = behind
        if operator == "exists":
            return Condition(key, operator)
        if operator in {"in", "not in"}:
            return Condition(key, operator, self._list(key, written))
        return Condition(key, operator, (self._value(key, written, operator, attached=after.start == end),))

    def _operator(self, written: str, after: Piece) -> tuple[Operator | None, int]:
        """What stands after a key, and where it ends. A word is an operator only after what can be a key."""
        if after.kind == "operator":
            return _SIGNS[after.text], after.end
        word = after.text.lower()
        if (
            after.kind != "word"
            or word not in _WORDS
            or not ("." in written or written in NAMES or written in {*MILLISECONDS, "feedback"})
        ):
            return None, 0
        following = self._source.next(at=after.end)
        if word == "not":
            behind = self._source.next(at=following.end)
            is_list = following.kind == "word" and following.text.lower() == "in" and behind.kind == "open"
            return ("not in", following.end) if is_list else (None, 0)
        if word == "exists":
            return "exists", after.end
        if word == "in":
            return ("in", after.end) if following.kind == "open" else (None, 0)
        return ("has", after.end) if following.kind in {"text", "word"} else (None, 0)

    def _key(self, written: str, start: int) -> Key:
        if written in NAMES or written in MILLISECONDS:
            column = NAMES.get(written) or MILLISECONDS[written]
            return Key("column", column.name, column.type)
        if written == "feedback":
            return Key("feedback", "", "any")
        head, _, rest = written.partition(".")
        if not rest:
            known = [*NAMES, *MILLISECONDS, *(f"{name}.NAME" for name in _SCOPES), "feedback"]
            raise self._source.wrong(f"unknown filter key {written!r}", start, hint=did_you_mean(written, known))
        name = ".".join(unquoted(each) if each[0] in "\"'" else each for each in _segments(rest))
        if not name:
            raise self._source.wrong(f"{written!r} names nothing", start, hint=f"Write {head}.NAME.")
        if head in _SCOPES:
            scope, kind = _SCOPES[head]
            return Key(scope, name, kind)
        return Key("attribute", f"{head}.{name}", "any")

    def _list(self, key: Key, written: str) -> tuple[Value, ...]:
        opening = self._source.next()
        self._source.at = opening.end
        values = list[Value]()
        while True:
            piece = self._source.next(value=True, listed=True)
            if piece.kind not in {"text", "word"}:
                raise self._source.wrong(
                    "a list holds values with commas between them", piece.start, hint=f"{written} in (a, b)"
                )
            values.append(self._read(key, written, "in", piece))
            if len(values) > MOST_VALUES:
                raise Invalid(f"{written} is held against more than {MOST_VALUES:,} values", hint="Ask in several steps.")
            after = self._source.next(at=piece.end)
            self._source.at = after.end
            if after.kind == "close":
                return tuple(values)
            if after.kind != "comma":
                raise self._source.wrong("this list is not closed", opening.start, hint=f"{written} in (a, b)")

    def _value(self, key: Key, written: str, operator: Operator, *, attached: bool) -> Value:
        piece = self._source.next(value=True)
        if attached and key.type in {"text", "any", "list"} and self._is_left_out(piece):
            return ""
        if piece.kind not in {"text", "word"}:
            raise self._source.wrong(
                f"{written} {operator} needs a value", piece.start, hint=f"Write {written} {operator} VALUE."
            )
        self._source.at = piece.end
        return self._read(key, written, operator, piece)

    def _is_left_out(self, piece: Piece) -> bool:
        """In `endpoint!= model=x` the endpoint is held against nothing."""
        if piece.kind in {"end", "close"}:
            return True
        if piece.kind != "word" or piece.start == self._source.at:
            return False
        if piece.text.lower() in {"and", "or"}:
            return True
        before, self._source.at = self._source.at, piece.start
        key = self._source.key()
        self._source.at = before
        return key is not None and self._source.next(at=key[1]).kind == "operator"

    def _read(self, key: Key, written: str, operator: Operator, piece: Piece) -> Value:
        try:
            return read_value(
                piece.text, key=key, written=written, operator=operator, is_quoted=piece.kind == "text", now_ns=self._now_ns
            )
        except Invalid as error:
            raise self._source.wrong(error.message, piece.start, hint=error.hint) from error


_EXAMPLE: Final = 'Write, for example: status = error and latency > 2s and output ~ "refund"'


def _hint(piece: Piece) -> str:
    return {"close": "There is no ( for it.", "comma": "Lists are written KEY in (a, b)."}.get(piece.kind, _EXAMPLE)


def _segments(text: str) -> list[str]:
    """`a."b.c".d` at its dots."""
    found, at = list[str](), 0
    while at < len(text):
        mark = text[at]
        end = at + 1
        if mark in "\"'":
            while text[end] != mark:
                end += 2 if text[end] == "\\" else 1
            end += 1
        else:
            while end < len(text) and text[end] != ".":
                end += 1
        found.append(text[at:end])
        at = end + 1
    return found
