from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from telemetry.spans import make_span
from tidemill.telemetry.questions.trace import StoredSpan, trace_shape
from tidemill.telemetry.row import decode_value, encode_row


def stored(number: int, **fields) -> StoredSpan:
    row = orjson.loads(encode_row(make_span(number, trace=0, **fields)))
    row |= {
        "start_ns": row.pop("start"),
        "root": bool(row["root"]),
        "input": decode_value(row["input"]),
        "output": decode_value(row["output"]),
        "attributes": {key: decode_value(value) for key, value in row["attributes"].items()},
        "tags": tuple(row["tags"]),
        "received_ns": row.pop("received"),
    }
    for name in ("project", "variant", "rollout", "environment", "evaluation", "resource", "events", "links"):
        row.pop(name)
    return StoredSpan(**row)


def test_usage_and_cost_are_those_of_the_leaf_calls():
    trace = trace_shape(
        [
            stored(0, tokens_in=30, tokens_out=6, cost=0.6),  # repeats the sum of what is below
            stored(1, parent=0, kind="llm", tokens_in=20, tokens_out=4, cost=0.4),  # so does a routing model call
            stored(2, parent=1, kind="llm", tokens_in=20, tokens_out=4, cost=0.4),
            stored(3, parent=0, kind="retriever", tokens_in=10),
            stored(4, parent=3, kind="embedding", tokens_in=10, tokens_out=2, cost=0.2),
        ]
    )
    assert trace["usage"] == {"input_tokens": 30, "output_tokens": 6, "cached_tokens": 0}
    assert trace["cost"] == pytest.approx(0.6)


def test_a_call_with_an_unbilled_span_between_is_not_counted_twice():
    trace = trace_shape(
        [
            stored(0),
            stored(1, parent=0, kind="llm", tokens_in=5),
            stored(2, parent=1, kind="tool"),
            stored(3, parent=2, kind="llm", tokens_in=5),
        ]
    )
    assert trace["usage"]["input_tokens"] == 5


def test_what_has_no_price_is_none_and_what_has_is_summed():
    unpriced = stored(1, parent=0, kind="llm")
    assert trace_shape([stored(0), unpriced])["cost"] is None
    assert trace_shape([stored(0), unpriced, stored(2, parent=0, kind="llm", cost=0.25)])["cost"] == 0.25


def test_a_trace_without_calls_is_what_its_root_says():
    trace = trace_shape([stored(0, tokens_in=7, cost=0.1), stored(1, parent=0, kind="tool", tokens_in=3)])
    assert (trace["usage"]["input_tokens"], trace["cost"]) == (7, 0.1)


def test_the_root_gives_name_input_output_and_status():
    trace = trace_shape(
        [
            stored(1, parent=0, kind="tool", status="error", error="tool broke", input="in", output="out"),
            stored(0, name="handbook", input={"q": 1}, output="fine", user="u", session="s", tags=("a",), release="sha256:aa"),
        ]
    )
    assert (trace["name"], trace["input"], trace["output"]) == ("handbook", {"q": 1}, "fine")
    assert (trace["status"], trace["error"]) == ("ok", None)  # it recovered from the tool's failure
    assert (trace["user"], trace["session"], trace["tags"], trace["release"]) == ("u", "s", ["a"], "sha256:aa")
    assert [span["name"] for span in trace["spans"]] == ["handbook", "span 1"]
    assert [span["status"] for span in trace["spans"]] == ["ok", "error"]


def test_a_failed_root_fails_the_trace():
    trace = trace_shape([stored(0, status="error", error="boom"), stored(1, parent=0)])
    assert (trace["status"], trace["error"]) == ("error", "boom")


def test_a_trace_whose_root_is_not_there_yet_is_shown():
    trace = trace_shape([stored(2, parent=1, kind="llm", tokens_in=4), stored(1, parent=0, name="first")])
    assert (trace["name"], trace["status"], trace["usage"]["input_tokens"]) == ("first", "unset", 4)


def test_two_requests_of_one_callers_trace_are_one_trace():
    later = replace(stored(5), duration_ns=3_000_000)
    trace = trace_shape([later, stored(0, name="first")])
    assert trace["name"] == "first"
    assert trace["duration_ms"] == pytest.approx(8.0)


def test_parents_in_a_ring_do_not_hang():
    trace = trace_shape([stored(0, parent=1, kind="llm"), stored(1, parent=0, kind="llm")])
    assert len(trace["spans"]) == 2


def test_the_start_is_rfc_3339():
    assert trace_shape([stored(0, start_ns=1_790_000_000_123_456_789)])["start"] == "2026-09-21T14:13:20.123456Z"
