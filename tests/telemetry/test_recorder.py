from __future__ import annotations

import asyncio

import pytest

from tidemill.core.chat import Usage
from tidemill.core.clock import FixedClock, Ids
from tidemill.core.errors import Unavailable
from tidemill.core.records import SpanRecord
from tidemill.telemetry import Recorder, null_recorder

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def records() -> list[SpanRecord]:
    return []


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def recorder(records: list[SpanRecord], clock: FixedClock) -> Recorder:
    return Recorder(records.append, ids=Ids(clock=clock), clock=clock)


def test_child_has_its_parent_and_inherits_what_a_trace_is_found_by(recorder, records, clock):
    with recorder.trace(
        "handbook", kind="chain", project="p", release="sha256:aa", endpoint="e", user="u", session="s", tags=["a", "b"]
    ) as root:
        clock.advance(seconds=1)
        with root.child("answer", kind="llm", input={"q": 1}, step="answer", model="m") as child:
            clock.advance(seconds=2)
            child.set(output="hello", usage=Usage(input_tokens=3, output_tokens=1), cost=0.5, attributes={"x": 1})
    answer, handbook = records
    assert (answer.parent_id, answer.trace_id) == (handbook.span_id, handbook.trace_id)
    assert (answer.project, answer.release, answer.endpoint, answer.user, answer.session) == ("p", "sha256:aa", "e", "u", "s")
    assert answer.tags == ("a", "b")
    assert (answer.step, answer.model, answer.input, answer.output, answer.cost) == ("answer", "m", {"q": 1}, "hello", 0.5)
    assert answer.attributes == {"x": 1}
    assert answer.end_ns - answer.start_ns == 2_000_000_000
    assert answer.start_ns - handbook.start_ns == 1_000_000_000
    assert handbook.parent_id is None
    assert (handbook.status, answer.status) == ("ok", "ok")


def test_an_exception_marks_the_span_failed_and_goes_on(recorder, records):
    with pytest.raises(Unavailable), recorder.trace("t", kind="llm", project="p"):
        raise Unavailable("openai answered 500", where="model/x")
    assert (records[0].status, records[0].error) == ("error", "model/x: openai answered 500")


def test_an_error_without_text_is_named(recorder, records):
    with pytest.raises(ZeroDivisionError), recorder.trace("t", kind="llm", project="p"):
        raise ZeroDivisionError
    assert records[0].error == "ZeroDivisionError"


def test_cancellation_is_called_cancelled(recorder, records):
    with pytest.raises(asyncio.CancelledError), recorder.trace("t", kind="llm", project="p"):
        raise asyncio.CancelledError
    assert (records[0].status, records[0].error) == ("error", "cancelled")


def test_an_error_that_was_set_is_not_overwritten(recorder, records):
    span = recorder.trace("t", kind="llm", project="p")
    span.set(error="the cause")
    with pytest.raises(ValueError, match="wrapped"), span:
        raise ValueError("wrapped")
    assert records[0].error == "the cause"


def test_end_is_idempotent(recorder, records):
    span = recorder.trace("t", kind="other", project="p")
    span.end()
    with span:
        pass
    span.end()
    assert len(records) == 1


def test_set_can_set_none_and_keeps_what_is_not_given(recorder, records):
    span = recorder.trace("t", kind="other", project="p", input="in", attributes={"a": 1})
    span.set(output="out", release="sha256:bb", cost=1.0)
    span.set(output=None, attributes={"b": 2}, cost=None)
    span.end()
    assert (records[0].input, records[0].output, records[0].release, records[0].cost) == ("in", None, "sha256:bb", None)
    assert records[0].attributes == {"a": 1, "b": 2}


def test_a_callers_trace_is_continued_and_handed_on(recorder, records):
    with recorder.trace("t", kind="chain", project="p", traceparent=PARENT) as span:
        assert span.traceparent == f"00-0af7651916cd43dd8448eb211c80319c-{span.span_id}-01"
    assert (records[0].trace_id, records[0].parent_id) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


@pytest.mark.parametrize(
    "header",
    ["", "x", PARENT.upper(), PARENT[:-1], "ff" + PARENT[2:], PARENT + "-x", f"00-{'0' * 32}-b7ad6b7169203331-01",
     f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01"],
)  # fmt: skip
def test_an_invalid_traceparent_starts_a_new_trace(recorder, header):
    span = recorder.trace("t", kind="chain", project="p", traceparent=header)
    assert span.trace_id != "0af7651916cd43dd8448eb211c80319c"
    assert len(span.trace_id) == 32


def test_a_later_traceparent_version_is_understood(recorder):
    span = recorder.trace("t", kind="chain", project="p", traceparent="01" + PARENT[2:] + "-more")
    assert span.trace_id == "0af7651916cd43dd8448eb211c80319c"


def test_a_clock_jump_cannot_turn_a_trace_inside_out(records):
    class Jumping(FixedClock):
        def now_ns(self) -> int:
            self.ns -= 3_600_000_000_000
            return self.ns

        def monotonic(self) -> float:
            self.seconds += 1
            return float(self.seconds)

        seconds = 0

    clock = Jumping()
    recorder = Recorder(records.append, ids=Ids(), clock=clock)
    with recorder.trace("t", kind="chain", project="p") as root, root.child("c", kind="llm"):
        pass
    child, parent = records
    assert parent.start_ns < child.start_ns < child.end_ns < parent.end_ns


def test_the_null_recorder_makes_spans_that_go_nowhere():
    with null_recorder().trace("t", kind="chain", project="p") as span:
        assert span.child("c", kind="llm").trace_id == span.trace_id
