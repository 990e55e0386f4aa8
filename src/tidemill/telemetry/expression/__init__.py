"""The one expression that finds spans and traces, for the API, the command line, Studio, sampling and the questions of numbers.

    model = "x" and latency > 2s and tag.env = "prod" and output ~ "refund" and score.groundedness < 0.5

`parse` reads it, `format_expression` writes it in its plain form, `compile_spans` and `compile_traces` make conditions in SQL
whose every value and key is bound, and `matches` asks it of a span in memory. What can be asked for is in `keys.py`.
"""

from tidemill.telemetry.expression.keys import COLUMNS
from tidemill.telemetry.expression.match import matches
from tidemill.telemetry.expression.parser import parse
from tidemill.telemetry.expression.sql import add_words, compile_spans, compile_traces
from tidemill.telemetry.expression.syntax import (
    EVERYTHING,
    And,
    Condition,
    Expression,
    Key,
    Not,
    Or,
    bounds_of,
    format_expression,
    replace_values,
    values_of,
)
from tidemill.telemetry.expression.where import Where

__all__ = [
    "COLUMNS",
    "EVERYTHING",
    "And",
    "Condition",
    "Expression",
    "Key",
    "Not",
    "Or",
    "Where",
    "add_words",
    "bounds_of",
    "compile_spans",
    "compile_traces",
    "format_expression",
    "matches",
    "parse",
    "replace_values",
    "values_of",
]
