"""Traces out of files, through the command line: OTLP in its forms, packed or not, another platform's export, and damage."""

from __future__ import annotations

import gzip
import json
import struct

import pytest
from backports import zstd

from telemetry.otlp_requests import START_NS, export, span


def lines(trace: int, count: int, *, more: str = "") -> bytes:
    """As the collector's file exporter writes: a request a line."""
    return b"".join(
        json.dumps(
            {
                "resourceSpans": [
                    {
                        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
                        "scopeSpans": [
                            {
                                "spans": [
                                    {
                                        "traceId": f"{trace:032x}", "spanId": f"{number:016x}", "name": f"span {number}{more}",
                                        "startTimeUnixNano": str(START_NS + number),
                                        "endTimeUnixNano": str(START_NS + number + 5),
                                    }
                                ]
                            }
                        ],
                    }
                ]
            }
        ).encode()
        + b"\n"
        for number in range(1, count + 1)
    )  # fmt: skip


def binary(trace: int, count: int) -> bytes:
    return export(*(span(number, trace=trace) for number in range(1, count + 1))).SerializeToString()


def framed(trace: int, count: int) -> bytes:
    """As the collector's file exporter writes protobuf: each message after its length."""
    messages = [export(span(number, trace=trace)).SerializeToString() for number in range(1, count + 1)]
    return b"".join(struct.pack(">I", len(each)) + each for each in messages)


def pretty(trace: int, count: int) -> bytes:
    documents = [json.loads(line) for line in lines(trace, count).splitlines()]
    return json.dumps({"resourceSpans": [each["resourceSpans"][0] for each in documents]}, indent=2).encode()


FILES = {
    "a.jsonl": (1, lines), "b.json": (2, pretty), "c.pb": (3, binary), "d.bin": (4, framed),
    "e.jsonl.gz": (5, lambda *given: gzip.compress(lines(*given))),
    "f.jsonl.zst": (6, lambda *given: zstd.compress(lines(*given))),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_taken_once_however_often_it_is_imported(server, shell, name):
    trace, make = FILES[name]
    (shell.folder / name).write_bytes(make(trace << 96, 7))
    for _ in range(2):
        (taken,) = shell.json("traces", "import", name)["items"]
        assert (taken["format"], taken["spans"], taken["rejected"]) == ("otlp", 7, 0)
    assert len(server.get(f"/traces/{trace << 96:032x}")["spans"]) == 7


def test_more_than_one_part(server, shell):
    trace = 77 << 96
    (shell.folder / "large.jsonl").write_bytes(lines(trace, 2500, more="x" * 4000))
    (taken,) = shell.json("traces", "import", "large.jsonl")["items"]
    assert taken["spans"] == 2500


def test_another_platform(server, shell):
    run = {
        "id": "11111111-1111-4111-8111-111111111111", "trace_id": "11111111-1111-4111-8111-111111111111", "name": "ask",
        "run_type": "chain", "start_time": "2026-09-21T10:00:00", "end_time": "2026-09-21T10:00:01", "inputs": {"q": "tide?"},
        "outputs": {"a": "high"}, "dotted_order": "20260921T100000000000Z11111111-1111-4111-8111-111111111111",
        "session_id": "22222222-2222-4222-8222-222222222222", "parent_run_id": None, "error": None, "extra": {}, "tags": [],
    }  # fmt: skip
    (shell.folder / "runs.jsonl").write_text(json.dumps(run) + "\n")
    (taken,) = shell.json("traces", "import", "runs.jsonl")["items"]
    assert (taken["format"], taken["spans"]) == ("langsmith", 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\x01\x02garbage", "neither JSON nor OTLP"),
        (b'{"resourceSpans": [', "bad"),
        (lines(1, 2) + b'{"resourceSpans": 5}\n', "line 3"),
        (b'{"some": "thing"}', "bad"),
    ],
    ids=["empty", "garbage", "torn", "a bad line", "unknown"],
)
def test_a_damaged_file_is_refused_whole(server, shell, content, said):
    (shell.folder / "bad").write_bytes(content)
    shell("traces", "import", "bad").refused(2, said)


def test_no_file_or_one_that_is_not_there(shell):
    shell("traces", "import").refused(2, "no file")
    shell("traces", "import", "missing.jsonl").refused(2, "missing.jsonl")
    (shell.folder / "torn.gz").write_bytes(gzip.compress(lines(1, 9))[:-20])
    shell("traces", "import", "torn.gz").refused(2, "torn.gz: the gzip data ends")
