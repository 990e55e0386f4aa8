"""What `tidemill traces` prints of conversations, and what it measures when nobody says what."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tidemill.cli.messages import turn_lines
from tidemill.cli.traces_query import usual_measures
from tidemill.client.shapes import TraceJson


def trace(**fields: Any) -> TraceJson:
    known = {"id": "a" * 32, "name": "POST /ask", "start": "2026-01-31T12:00:00.000000Z", "duration_ms": 38.0, "status": "ok"}
    return cast("TraceJson", {**known, **fields})


def test_a_turn_of_which_nothing_is_known_has_one_line() -> None:
    assert len(list(turn_lines(trace(input=None, output=None), full=False))) == 1


def test_a_turn_shows_what_was_asked_and_answered() -> None:
    asked = {"messages": [{"role": "system", "content": "short"}, {"role": "user", "content": "when?"}]}
    answered = {"messages": [{"role": "assistant", "content": "at noon"}]}
    lines = list(turn_lines(trace(input=asked, output=answered), full=False))
    assert [line.split() for line in lines[1:]] == [["user", "when?"], ["assistant", "at", "noon"]]


@pytest.mark.parametrize(
    ("by", "of", "filter", "first"),
    [
        ((), None, None, "requests"),
        (("endpoint",), None, None, "requests"),
        (("model",), None, None, "count"),
        (("user", "provider"), None, None, "count"),
        ((), None, 'model = "m"', "count"),
        (("kind",), None, None, "count"),
        (("model",), "requests", None, "requests"),
        ((), "calls", None, "count"),
    ],
)
def test_usual_measures_are_of_what_is_asked_about(by: tuple[str, ...], of: str | None, filter: str | None, first: str) -> None:  # noqa: A002
    assert usual_measures(by, of, filter)[0] == first
