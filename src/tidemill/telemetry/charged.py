"""Which calls are charged, in SQL: a call that another call is inside of only repeats it (`charged_spans` says it of a trace).

SQL looks two levels up, so a call within a call is seen directly below it and with one span between them. A trace read whole
looks at all that is above.
"""

from __future__ import annotations

from typing import Final

from tidemill.telemetry.questions.trace import BILLED_KINDS

BILLED: Final = f"kind IN ({', '.join(repr(each) for each in sorted(BILLED_KINDS))})"
"""Whether a span is a call that may be charged."""


def repeating(source: str, *, columns: str = "") -> str:
    """The (trace, span) of calls with another inside, out of `source` (SQL from a table's name on, to the end of its WHERE).

    `columns` of the span below them come after the two.
    """
    calls = f"SELECT trace_id, parent_id FROM {source} AND {BILLED} AND parent_id != ''"  # noqa: S608  (SQL of ours)
    return (
        f"SELECT trace_id, parent_id{columns} FROM {source} AND parent_id != ''"  # noqa: S608  (SQL of ours)
        f" AND ({BILLED} OR (trace_id, toString(span_id)) IN ({calls}))"
    )
