"""Files that are cut off, of another kind, enormous or hostile: one clear answer, and nothing given out."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.errors import Invalid
from tidemill.telemetry.dialects import read_span
from tidemill.telemetry.exports import FORMATS, read
from tidemill.telemetry.exports.identity import originals, span_id, trace_id
from tidemill.telemetry.exports.times import time_ns
from tidemill.telemetry.row import encode_row

RUN = {"id": "r1", "trace_id": "r1", "run_type": "llm", "name": "n", "start_time": "2026-01-02T03:04:05", "inputs": {}}
LINES = b"\n".join(json.dumps(RUN | {"id": f"r{number}"}).encode() for number in range(50))


def bad(content, **options):
    with pytest.raises(Invalid) as caught:
        read(content, name="traces.json", project="p", **options)
    assert "traces.json" in str(caught.value) or options
    assert caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize("content", [b"", b"  \n ", b"[]", b"{}"])
def test_a_file_of_nothing(content):
    bad(content)


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\x01\x02",
        b"plain words",
        b"name,id\na,1",
        b"\xff\xfe{\x00}\x00",
        b'"text"',
        b"7",
        b"null",
        b"[1, 2]",
        b'["a"]',
        b"<html>",
    ],
)
def test_a_file_of_another_kind(content):
    bad(content)


def test_half_a_file_names_the_place_and_gives_nothing():
    assert "line 50" in bad(LINES[:-20])
    assert "is not JSON" in bad(json.dumps([RUN] * 3).encode()[:-30])


def test_otlp_and_bare_attributes_are_told_apart():
    assert "OTLP" in bad(b'{"resourceSpans": []}')
    assert "without the ids and times" in bad(b'{"llm.model_name": "m", "input.value": "x"}')
    assert "its first record has the keys a, b" in bad(b'{"a": 1, "b": [2]}')


def test_a_format_can_be_forced_and_must_fit():
    assert len(read(LINES, name="a", project="p", form="langsmith").spans) == 50
    assert "not a file of MLflow" in bad(LINES, form="mlflow")
    assert "'langfsue' is not known" in bad(LINES, form="langfsue")


def test_a_record_that_is_none_among_others():
    for odd in (b"7", b"null", b'"x"', b"[1]"):
        assert "line 51" in bad(LINES + b"\n" + odd)


def test_the_same_file_gives_the_same_ids_and_runs_that_come_twice_are_one():
    once, twice = (read(content, name="a", project="p").spans for content in (LINES, LINES + b"\n" + LINES))
    assert [each.span_id for each in once] == [each.span_id for each in twice]
    assert len({each.span_id for each in once}) == 50


def test_nesting_and_width_do_no_harm():
    deep = b'{"id": "r", "run_type": "llm", "start_time": 1, "inputs": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}"
    (span,) = read(deep, name="a", project="p").spans
    encode_row(read_span(span, project="p"))
    bad(b'{"id": "r", "run_type": "llm", "inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    child = RUN
    for number in range(200):
        child = RUN | {"id": f"c{number}", "child_runs": [child]}
    assert len(read(json.dumps(child).encode(), name="a", project="p").spans) == 201


def test_ids_of_every_kind_become_hexadecimal_and_stay_different():
    odd = ["", "0" * 32, "x" * 10_000_000, "a\x00b", "\u2028", "../../etc", "'; DROP TABLE spans", "ab" * 16, "cmabc123", "𝕏"]
    made = [trace_id(each) for each in odd if each]
    assert all(len(each) == 32 and int(each, 16) for each in made)
    assert len(set(made)) == len(made)
    assert trace_id("") == span_id("") == ""
    assert trace_id("0f8fad5b-d9cb-469f-a165-70867728950e") == "0f8fad5bd9cb469fa16570867728950e"
    assert trace_id("AB" * 16) == trace_id("0x" + "ab" * 16) == trace_id("tr-" + "ab" * 16) == "ab" * 16
    assert len(originals(trace="x" * 10_000, span="y", form="f")["tidemill.import.trace_id"]) == 256
    assert originals(trace="ab" * 16, span="cd" * 8, form="f") == {"tidemill.import.format": "f"}


@given(st.text(min_size=1))
def test_any_id_is_one_of_ours(text):
    assert len(trace_id(text)) == 32
    assert len(span_id(text)) == 16
    assert int(span_id(text), 16)


def test_times_in_every_way_that_they_are_written():
    wanted = 1_767_323_045_678_000_000
    for value in (
        "2026-01-02T03:04:05.678Z", "2026-01-02 03:04:05.678", "2026-01-02T04:04:05.678000000+01:00", 1_767_323_045_678,
        1_767_323_045_678_000, wanted, str(wanted), [1_767_323_045, 678_000_000], 1_767_323_045.678,
    ):  # fmt: skip
        assert abs(time_ns(value, where="x") - wanted) < 1000
    assert time_ns("2026-01-02T03:04:05.123456789Z", where="x") % 10**9 == 123_456_789
    for value in (None, True, "", "soon", -5, [1], {"a": 1}, 1e300, float("nan"), "9" * 40, "0001-01-01T00:00:00", ["1", 2]):
        with pytest.raises(Invalid, match="no time"):
            time_ns(value, where="x")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("odd", [None, 7, True, "word", "[", [], [[]], {}, {"a": [1]}, "\x00", -1, 1e308])
def test_odd_values_in_every_field_are_read_or_refused(form, odd):
    """Whatever stands in a field, the answer is spans or `Invalid`, never another error."""
    records = {
        "langfuse": {"id": "o", "traceId": "t", "type": "SPAN", "startTime": 1, "metadata": {}},
        "langsmith": RUN | {"extra": {}, "outputs": {}, "events": [], "error": "", "tags": [], "parent_run_id": "p"},
        "mlflow": {"info": {"trace_id": "t", "tags": {}}, "data": {"spans": [{"span_id": "s", "start_time": 1}]}},
        "phoenix": {"name": "n", "context.trace_id": "t", "context.span_id": "s", "start_time": 1, "attributes.llm": {}},
        "otel-sdk": {"name": "n", "spanContext": {"traceId": "t", "spanId": "s"}, "startTime": [1, 2], "status": {}},
    }  # fmt: skip
    for key in records[form]:
        try:
            for span in read(json.dumps(records[form] | {key: odd}).encode(), name="a", project="p").spans:
                encode_row(read_span(span, project="p"))
        except Invalid:
            continue


def test_a_large_file_takes_memory_in_proportion():
    content = b"\n".join(json.dumps(RUN | {"id": f"r{n}", "inputs": {"text": "x" * 4000}}).encode() for n in range(1000))
    tracemalloc.start()
    try:
        assert len(read(content, name="a", project="p").spans) == 1000
        assert tracemalloc.get_traced_memory()[1] < 6 * len(content)
    finally:
        tracemalloc.stop()
