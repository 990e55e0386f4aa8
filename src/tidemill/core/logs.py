"""What the server says while it runs: lines for a person, or JSON lines for a machine, each with the trace that it belongs to.

Tokens and keys never stand in a line, wherever they came from.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Final, Literal, TextIO, TypeAlias, get_args

from tidemill.core.errors import Invalid
from tidemill.core.json import dump_json
from tidemill.core.suggest import did_you_mean

Form: TypeAlias = Literal["text", "json"]
Level: TypeAlias = Literal["debug", "info", "warning", "error"]

WITHIN: Final[ContextVar[tuple[str, str] | None]] = ContextVar("tidemill_within", default=None)
"""The trace and the span that the running code belongs to."""
LINES: Final[Counter[str]] = Counter()
"""How many lines were written, by level."""
_SECRET: Final = re.compile(
    r"\btm_[0-9a-z]{1,32}_[A-Za-z0-9_-]{16,}|(?i:\b(bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}"
    r"|(?i:\b(?:api[_-]?key|token|password|secret|code)\b[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&)}]{6,}|\bsk-[A-Za-z0-9_-]{16,}"
)
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_CLEARED: Final = "(secret)"


def without_secrets(text: str) -> str:
    """The text with what looks like a token, a key or a password taken out."""
    return _SECRET.sub(_CLEARED, text)


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, `trace_id` and `span_id` where there is one, and extras."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = dt.datetime.fromtimestamp(record.created, dt.UTC)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
            **_within(),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD:
                line[name] = value if isinstance(value, int | float | bool | None) else without_secrets(str(value))
        if record.exc_info:
            line["exception"] = without_secrets(self.formatException(record.exc_info))
        return dump_json(line).decode()


class TextLines(logging.Formatter):
    """A line for a person: the time, the level, what happened, and at the end the trace."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback below it."""
        moment = dt.datetime.fromtimestamp(record.created, dt.UTC).strftime("%H:%M:%S")
        trace = _within().get("trace_id")
        line = f"{moment}  {record.levelname.lower():<8}{record.getMessage()}" + (f"  trace {trace}" if trace else "")
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return without_secrets(line)


class _Lines(logging.StreamHandler[TextIO]):
    """Writes lines, and counts them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        LINES[record.levelname.lower()] += 1
        super().emit(record)


def start_logging(form: str, level: str) -> Callable[[], None]:
    """Write all lines from `level` up to standard error; what is given back ends it. Raises `Invalid`."""
    for given, known, what in ((form, get_args(Form), "form"), (level, get_args(Level), "level")):
        if given not in known:
            raise Invalid(
                f"{given!r} is no {what} of logs", hint=did_you_mean(given, known) or f"It is one of {', '.join(known)}."
            )
    handler = _Lines(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level.upper())

    def end() -> None:
        root.removeHandler(handler)
        root.setLevel(before)

    return end


def _within() -> Mapping[str, str]:
    found = WITHIN.get()
    return {} if found is None else {"trace_id": found[0], "span_id": found[1]}
