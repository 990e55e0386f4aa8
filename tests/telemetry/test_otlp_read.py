"""Requests of OTLP, read: what is kept, what is rejected span by span, and what is said of it."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as some
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry.otlp_requests import START_NS, export, logs, pairs, span
from tidemill.core.errors import Invalid
from tidemill.telemetry.otlp.answers import Taken, encode_status, encode_taken
from tidemill.telemetry.otlp.logs import read_logs
from tidemill.telemetry.otlp.parse import parse_logs, parse_traces
from tidemill.telemetry.otlp.split import split_request
from tidemill.telemetry.otlp.tally import Tally
from tidemill.telemetry.otlp.traces import read_spans


def read(request, *, form="protobuf", now_ns=START_NS):
    tally = Tally()
    body = request if isinstance(request, bytes) else request.SerializeToString()
    found = list(read_spans(parse_traces(body, form=form, tally=tally), tally, now_ns=now_ns))
    return [each for each in found if each is not None], tally


def test_a_span_is_read_whole():
    sent = span(
        2, trace=7, parent=1, name="chat", kind=3,
        attributes={"a": "x", "n": 3, "f": 0.5, "b": True, "l": ["x", 1], "o": {"k": {"m": 1}}},
        trace_state="ot=th:8", dropped_attributes_count=2, status={"code": 2, "message": "no"},
    )  # fmt: skip
    sent.events.add(name="e", time_unix_nano=START_NS + 5, attributes=pairs({"k": "v"}))
    sent.links.add(trace_id=b"\1" * 16, span_id=b"\2" * 8)
    request = export(sent)
    request.resource_spans[0].scope_spans[0].scope.version = "1.2"
    (raw,), tally = read(request)
    assert (raw.trace_id, raw.span_id, raw.parent_id) == (f"{7:032x}", f"{2:016x}", f"{1:016x}")
    assert raw.attributes == {"a": "x", "n": 3, "f": 0.5, "b": True, "l": ["x", 1], "o": {"k": {"m": 1}}}
    assert (raw.name, raw.kind, raw.status, raw.status_message, raw.dropped) == ("chat", 3, "error", "no", 2)
    assert (raw.start_ns, raw.end_ns) == (START_NS + 2, START_NS + 2 + 1_000_000)
    assert [(each.name, each.time_ns, each.attributes) for each in raw.events] == [("e", START_NS + 5, {"k": "v"})]
    assert raw.links == [{"trace_id": "01" * 16, "span_id": "02" * 8, "attributes": {}}]
    assert (raw.resource, raw.scope, raw.scope_version, raw.trace_state) == (
        {"service.name": "shop"},
        "tests",
        "1.2",
        "ot=th:8",
    )
    assert tally.message == ""


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"trace_id": bytes(16)}, "zeros"),
        ({"span_id": bytes(8)}, "zeros"),
        ({"trace_id": b"\1" * 8}, "ids of 8 and 8 bytes"),
        ({"span_id": b"\1" * 7}, "ids of 16 and 7 bytes"),
        ({"trace_id": b"", "span_id": b""}, "ids of 0 and 0 bytes"),
        ({"start_time_unix_nano": 0}, "years 2000 to 2099"),
        ({"start_time_unix_nano": 1_000}, "years 2000 to 2099"),
        ({"start_time_unix_nano": 2**63 - 1}, "years 2000 to 2099"),
        ({"start_time_unix_nano": 2**64 - 1, "end_time_unix_nano": 2**64 - 1}, "years 2000 to 2099"),
    ],
)
def test_one_bad_span_does_not_take_the_others_with_it(fields, why):
    found, tally = read(export(span(1), span(2, **fields), span(3)))
    assert [each.name for each in found] == ["span 1", "span 3"]
    assert tally.rejected == 1
    assert why in tally.message


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"end_time_unix_nano": START_NS - 5}, "end before they start"),
        ({"end_time_unix_nano": 2**63}, "end after the year 2100"),
        ({"start_time_unix_nano": START_NS + 400 * 86_400 * 10**9}, "in the future"),
        ({"start_time_unix_nano": START_NS - 400 * 86_400 * 10**9}, "more than a year old"),
        ({"parent_span_id": b"\1\2"}, "parent id of a wrong length"),
        ({"parent_span_id": (5).to_bytes(8, "big")}, "their own parent"),
    ],
)
def test_what_looks_wrong_is_taken_and_said(fields, said):
    (raw,), tally = read(export(span(5, **fields)))
    assert tally.rejected == 0
    assert said in tally.message
    assert raw.end_ns >= raw.start_ns
    assert raw.parent_id == ""


def test_a_span_without_a_name_is_called_unknown():
    assert read(export(span(1, name="")))[0][0].name == "unknown"


def test_more_than_is_taken_is_dropped_counted_and_said():
    many = span(1, attributes={f"k{number}": number for number in range(3000)})
    for number in range(10_000):
        many.events.add(name=f"e{number}", time_unix_nano=START_NS)
    (raw,), tally = read(export(many))
    assert (len(raw.attributes), len(raw.events)) == (1024, 4096)
    assert "1976 attributes were too many" in tally.message
    assert "5904 events or links were too many" in tally.message


def test_a_value_of_50_mb_is_cut_and_said():
    (raw,), tally = read(export(span(1, attributes={"big": "x" * 50_000_000, "after": 1})))
    assert len(raw.attributes["big"]) < 300_000
    assert "50000000 characters, cut short" in raw.attributes["big"]
    assert raw.attributes["after"] == 1
    assert "1 values were too long and were cut" in tally.message


def test_text_that_is_no_utf8_is_mended_and_costs_nothing_else():
    body = export(span(1, name="caf@", attributes={"k@": "v@", "bin": b"\xff@\x00"})).SerializeToString()
    (raw,), tally = read(body.replace(b"@", b"\xe9"))
    assert raw.name == "caf�"
    assert raw.attributes["k�"] == "v�"
    assert raw.attributes["bin"] == "/+kA"
    assert "no UTF-8" in tally.message


def test_nul_bytes_stay():
    (raw,), _ = read(export(span(1, name="a\0b", attributes={"k\0": "v\0"})))
    assert (raw.name, raw.attributes) == ("a\0b", {"k\0": "v\0"})


def test_of_two_attributes_with_one_name_the_last_stays():
    twice = span(1)
    twice.attributes.extend([*pairs({"k": 1}), *pairs({"k": 2})])
    assert read(export(twice))[0][0].attributes == {"k": 2}


def test_numbers_that_json_has_not_are_text():
    (raw,), _ = read(export(span(1, attributes={"a": float("nan"), "b": float("inf"), "c": None, "d": ""})))
    assert raw.attributes == {"a": "nan", "b": "inf", "c": None, "d": ""}


@pytest.mark.parametrize("body", [b"\xff", b"garbage", b"\x0a\xff\xff\xff\xff\x0f", b"\x00" * 20])
def test_what_is_no_request_is_refused(body):
    with pytest.raises(Invalid, match="not an OTLP request"):
        read(body)


def test_every_truncation_is_refused_or_read():
    body = export(*(span(number, attributes={"k": "v"}) for number in range(1, 4))).SerializeToString()
    for end in range(1, len(body)):
        with pytest.raises(Invalid):
            read(body[:end])


def test_nesting_beyond_all_reason_is_refused():
    deep = b""
    for _ in range(300):
        deep = block(5, block(1, deep))  # AnyValue.array_value, ArrayValue.values
    pair = block(1, b"deep") + block(2, deep)
    body = block(1, block(2, block(2, span(1).SerializeToString() + block(9, pair))))
    with pytest.raises(Invalid):
        read(body)


def block(field, content):
    size, length = len(content), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([field << 3 | 2]) + length + bytes([size]) + content


@given(some.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body):
    with contextlib.suppress(Invalid):
        read(body)


JSON = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [
                {
                    "scope": {"name": "s", "version": "1"},
                    "spans": [
                        {
                            "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174",
                            "parentSpanId": "EEE19B7EC3C1B173", "name": "chat", "kind": 2,
                            "startTimeUnixNano": str(START_NS), "endTimeUnixNano": START_NS + 7,
                            "attributes": [
                                {"key": "i", "value": {"intValue": "12"}}, {"key": "j", "value": {"intValue": 13}},
                                {"key": "d", "value": {"doubleValue": 1}}, {"key": "n", "value": {"doubleValue": "NaN"}},
                                {"key": "b", "value": {"boolValue": False}}, {"key": "y", "value": {"bytesValue": "/+kA"}},
                                {"key": "a", "value": {"arrayValue": {"values": [{"stringValue": "x"}, {}]}}},
                                {"key": "o", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": ""}}]}}}
                            ],
                            "events": [{"timeUnixNano": str(START_NS), "name": "e", "attributes": []}],
                            "status": {"code": "STATUS_CODE_ERROR", "message": "no"}, "unheardOf": {"x": [1]}, "links": None,
                        }
                    ],
                }
            ],
        }
    ]
}  # fmt: skip


def snake(given):
    if isinstance(given, dict):
        return {"".join(f"_{c.lower()}" if c.isupper() else c for c in key): snake(each) for key, each in given.items()}
    return [snake(each) for each in given] if isinstance(given, list) else given


@pytest.mark.parametrize("document", [JSON, snake(JSON)])
def test_the_json_form_is_read_in_either_case(document):
    (raw,), _ = read(json.dumps(document).encode(), form="json")
    assert (raw.trace_id, raw.span_id) == ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174")
    assert (raw.parent_id, raw.name, raw.kind) == ("eee19b7ec3c1b173", "chat", 2)
    assert (raw.start_ns, raw.end_ns, raw.status, raw.scope) == (START_NS, START_NS + 7, "error", "s")
    assert raw.attributes == {
        "i": 12, "j": 13, "d": 1.0, "n": "nan", "b": False, "y": "/+kA", "a": ["x", None], "o": {"k": ""},
    }  # fmt: skip
    assert raw.resource == {"service.name": "shop"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"nonsense", "not JSON"),
        (b"[]", "should be an object"),
        (b'{"resourceSpans": 5}', "resourceSpans is 5 and should be a list"),
        (b'{"resourceSpans": [5]}', "resourceSpans.0 is 5 and should be an object"),
        (
            b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 5}]}]}]}',
            "scopeSpans.0.spans.0.name is 5 and should be text",
        ),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "soon"}]}]}]}', "startTimeUnixNano"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": -1}]}]}]}', "startTimeUnixNano"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": 1e30}]}]}]}', "startTimeUnixNano"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": 1.5}]}]}]}', "should be a whole number"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": true}]}]}]}', "kind is True"),
        (b'{"resourceSpans": ' * 2000, "not JSON"),
    ],
)
def test_json_of_a_wrong_type_is_refused_by_its_place(body, said):
    with pytest.raises(Invalid) as caught:
        read(body, form="json")
    assert said in caught.value.message


def test_deep_json_is_refused():
    deep = '{"arrayValue":{"values":[' * 300 + "{}" + "]}}" * 300
    body = json.dumps(JSON).replace('{"intValue": "12"}', deep).encode()
    with pytest.raises(Invalid, match="nested deeper"):
        read(body, form="json")


def test_an_id_that_is_not_hexadecimal_rejects_its_span_only():
    document = json.loads(json.dumps(JSON))
    spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans.append({**spans[0], "traceId": "not hexadecimal"})
    found, tally = read(json.dumps(document).encode(), form="json")
    assert (len(found), tally.rejected) == (1, 1)


def test_lone_surrogates_become_readable():
    body = json.dumps(JSON).replace('"chat"', '"a\\ud800b"').encode()
    assert read(body, form="json")[0][0].name == "a�b"


@given(some.recursive(some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
                      lambda inner: some.lists(inner, max_size=3) | some.dictionaries(
                          some.sampled_from(["resourceSpans", "scopeSpans", "spans", "name", "attributes", "key", "value"]),
                          inner, max_size=4)))  # fmt: skip
def test_any_json_is_read_or_refused(document):
    with contextlib.suppress(Invalid):
        read(json.dumps(document).encode(), form="json")


def test_an_answer_without_anything_to_say_is_empty():
    assert encode_taken(Taken(), signal="traces", form="protobuf") == b""
    assert encode_taken(Taken(), signal="traces", form="json") == b"{}"


@pytest.mark.parametrize("taken", [Taken(rejected=300, message="why"), Taken(rejected=0, message="a warning")])
def test_a_partial_success_is_what_the_protocol_says(taken):
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    binary = ExportTraceServiceResponse.FromString(encode_taken(taken, signal="traces", form="protobuf"))
    assert (binary.partial_success.rejected_spans, binary.partial_success.error_message) == (taken.rejected, taken.message)
    text = encode_taken(taken, signal="traces", form="json").decode()
    assert json_format.Parse(text, ExportTraceServiceResponse()) == binary


def test_a_status_is_what_google_rpc_says():
    from google.rpc import error_details_pb2, status_pb2

    status = status_pb2.Status.FromString(encode_status(8, "slow down", form="protobuf", retry_after=2.5))
    assert (status.code, status.message) == (8, "slow down")
    retry = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(retry)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (2, 500_000_000)


def test_log_records_of_other_things_are_not_kept_and_said():
    tally = Tally()
    request = logs(
        ("gen_ai.user.message", {}, {"content": "hello"}, 1, 2),
        ("cart.emptied", {}, "x", 1, 2),
        ("", {}, "a line", 1, 2),
        ("gen_ai.choice", {}, {}, 0, 0),
    )
    found = list(read_logs(parse_logs(request.SerializeToString(), form="protobuf", tally=tally), tally, now_ns=START_NS))
    assert [each and each.name for each in found] == ["gen_ai.user.message", None, None, None]
    assert found[0].parent_id == f"{2:016x}"
    assert tally.rejected == 0
    assert "2 log records say nothing of generative AI" in tally.message
    assert "1 log records of generative AI name no span" in tally.message


def test_a_log_record_that_is_sent_again_is_the_same_row():
    tally = Tally()
    body = logs(("gen_ai.choice", {"k": 1}, {"a": 1}, 1, 2)).SerializeToString()
    one, two = (
        next(read_logs(parse_logs(body, form="protobuf", tally=tally), tally, now_ns=now)) for now in (START_NS, START_NS + 9)
    )
    assert one == two


@given(some.lists(some.lists(some.lists(some.integers(0, 400), max_size=4), max_size=3), max_size=3), some.integers(1, 600))
def test_a_split_request_says_the_same(shape, most):
    request = ExportTraceServiceRequest()
    number = 0
    for scopes in shape:
        of_resource = request.resource_spans.add(schema_url="u")
        of_resource.resource.attributes.extend(pairs({"service.name": "shop"}))
        for sizes in scopes:
            of_scope = of_resource.scope_spans.add()
            of_scope.scope.name = "s"
            for size in sizes:
                number += 1
                of_scope.spans.append(span(number, attributes={"k": "x" * size}))
    parts = list(split_request(request.SerializeToString(), most=most))
    found = [each for part in parts for each in read(part)[0]]
    assert found == read(request)[0]
    assert all(len(part) < 2 * most + 1000 for part in parts)


@given(some.binary(max_size=300))
def test_what_is_no_request_is_not_mended_by_splitting(body):
    with contextlib.suppress(Invalid):
        whole = read(body)[0]
        assert [each for part in split_request(body, most=20) for each in read(part)[0]] == whole
