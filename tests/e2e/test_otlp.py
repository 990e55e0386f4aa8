"""Telemetry as exporters send it: the stock SDK over HTTP and gRPC, every encoding, and what is wrong with a request."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import zlib

import grpc
import httpx
import pytest
from backports import zstd
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from telemetry.otlp_requests import export, span

PROTOBUF = "application/x-protobuf"
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture(scope="module")
def ids():
    """Ids of traces that no other test has."""
    return iter(range(1 << 96, 1 << 97))


def send(server, body, *, path="/v1/traces", kind=PROTOBUF, **headers):
    return server.http.post(path, content=body, headers={"content-type": kind, **headers})


def names_of(server, trace: int) -> set[str]:
    return {each["name"] for each in server.get(f"/traces/{trace:032x}")["spans"]}


def status_of(answer: httpx.Response) -> status_pb2.Status:
    assert answer.headers["content-type"] == PROTOBUF
    return status_pb2.Status.FromString(answer.content)


def run_a_program(exporter) -> int:
    """What any program does with the stock SDK; the trace's id."""
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("shop", "1.0")
    chat = {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 5,
    }  # fmt: skip
    with tracer.start_as_current_span("answer") as root, tracer.start_as_current_span("chat m", attributes=chat):
        pass
    provider.shutdown()
    return root.get_span_context().trace_id


@pytest.mark.parametrize("compression", list(Compression))
def test_the_stock_sdk_over_http(server, compression):
    headers = {"authorization": f"Bearer {server.token}"}
    trace = run_a_program(HttpExporter(endpoint=f"{server.url}/v1/traces", headers=headers, compression=compression))
    found = server.get(f"/traces/{trace:032x}")
    assert [each["name"] for each in found["spans"]] == ["answer", "chat m"]
    assert found["usage"]["input_tokens"] == 3
    assert found["spans"][1]["model"] == "m"
    assert found["spans"][1]["kind"] == "llm"


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_the_stock_sdk_over_grpc(server, compression):
    headers = {"authorization": f"Bearer {server.token}"}
    exporter = GrpcExporter(
        endpoint=f"http://{server.ready['otlp_grpc']}", headers=headers, insecure=True, compression=compression
    )
    trace = run_a_program(exporter)
    assert names_of(server, trace) == {"answer", "chat m"}


PACKED = {
    "identity": bytes, "gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress,
}  # fmt: skip


@pytest.mark.parametrize("encoding", PACKED)
def test_every_encoding(server, ids, encoding):
    trace = next(ids)
    answer = send(server, PACKED[encoding](export(span(1, trace=trace)).SerializeToString()), **{"content-encoding": encoding})
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"", PROTOBUF)
    assert names_of(server, trace) == {"span 1"}


def test_json_is_answered_as_json(server, ids):
    trace = next(ids)
    spans = [
        {"traceId": f"{trace:032x}", "spanId": f"{number:016x}", "name": "j", "startTimeUnixNano": "1790000000000000000"}
        for number in (0, 1)
    ]
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
    answer = send(server, body, kind="application/json; charset=utf-8")
    assert answer.headers["content-type"] == "application/json"
    said = answer.json()["partialSuccess"]
    assert said["rejectedSpans"] == "1"
    assert "zeros" in said["errorMessage"]
    refused = send(server, b"{", kind="application/json")
    assert (refused.status_code, refused.json()["code"]) == (400, 3)


def test_partial_success(server, ids):
    trace = next(ids)
    answer = send(server, export(span(1, trace=trace), span(2, trace=0)).SerializeToString())
    said = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, said.rejected_spans) == (200, 1)
    assert "zeros" in said.error_message
    assert names_of(server, trace) == {"span 1"}


def test_a_request_without_spans_is_a_success(server):
    assert send(server, b"").status_code == 200
    assert send(server, b"", path="/v1/logs").status_code == 200
    assert send(server, b"", path="/v1/metrics").status_code == 200


BOMB = b"\x0a" + b"\0" * (200 << 20)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"garbage", {}, 400),
        (b"\x0a\xff", {}, 400),
        (b"not gzip", {"content-encoding": "gzip"}, 400),
        (gzip.compress(b"x" * 1000)[:-9], {"content-encoding": "gzip"}, 400),
        (b"x", {"content-encoding": "br"}, 415),
        (b"x", {"content-type": "text/plain"}, 415),
        (b"x", {"content-type": ""}, 415),
        (gzip.compress(BOMB), {"content-encoding": "gzip"}, 413),
        (zlib.compress(BOMB), {"content-encoding": "deflate"}, 413),
        (zstd.compress(BOMB), {"content-encoding": "zstd"}, 413),
        (b"", {"authorization": "Bearer nobody"}, 401),
        (b"", {"x-tidemill-project": "nowhere"}, 404),
        (b"", {"x-tidemill-project": "No Name"}, 400),
    ],
    ids=[
        "garbage", "torn", "not gzip", "torn gzip", "unknown encoding", "unknown type", "no type", "gzip bomb", "deflate bomb",
        "zstd bomb", "unknown token", "unknown project", "no project's name",
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_and_not_to_be_sent_again(server, body, headers, status):
    answer = server.http.post("/v1/traces", content=body, headers={"content-type": PROTOBUF, **headers})
    assert answer.status_code == status, answer.content
    assert "retry-after" not in answer.headers
    assert status_of(answer).message


def test_a_body_larger_than_is_taken(server):
    answer = send(server, b"\0" * (65 << 20))
    assert answer.status_code == 413
    assert "67,108,864" in status_of(answer).message


def test_another_method(server):
    answer = server.http.get("/v1/traces")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_fifty_megabytes_are_taken_and_the_gateway_goes_on_meanwhile(server, ids):
    trace = next(ids)
    body = export(span(1, trace=trace, attributes={"big": "x" * 50_000_000})).SerializeToString()
    answer = send(server, body)
    assert answer.status_code == 200
    assert "were cut" in ExportTraceServiceResponse.FromString(answer.content).partial_success.error_message
    assert len(server.get(f"/traces/{trace:032x}")["spans"][0]["attributes"]["big"]) < 1_100_000


def test_a_client_that_goes_away_in_the_middle_leaves_nothing(server, ids):
    trace = next(ids)
    body = export(span(1, trace=trace)).SerializeToString()
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    head = (
        f"POST /v1/traces HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {server.token}\r\n"
        f"content-type: {PROTOBUF}\r\ncontent-length: {len(body) + 10}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + body)
    assert send(server, b"").status_code == 200
    assert server.http.get(f"{server.api}/traces/{trace:032x}").status_code == 404


def test_the_same_export_many_times_at_once(server, ids):
    trace = next(ids)
    body = export(*(span(number, trace=trace) for number in range(1, 51))).SerializeToString()
    threads = [threading.Thread(target=send, args=(server, body)) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(server.get(f"/traces/{trace:032x}")["spans"]) == 50


def test_who_may_send(server, ids):
    trace = next(ids)
    body = export(span(1, trace=trace)).SerializeToString()
    made = {
        name: server.http.post("/api/v1/projects/default/keys", json=asked).json()["key"]
        for name, asked in {
            "sender": {"role": "developer", "may": ["ingest"]}, "viewer": {"role": "viewer"},
            "reader": {"role": "developer", "may": ["read"]}, "caller": {"role": "developer", "endpoints": ["live"]},
            "over": {"role": "developer", "expires": "1ms"},
        }.items()
    }  # fmt: skip
    answers = {
        name: httpx.post(
            f"{server.url}/v1/traces", content=body, headers={"content-type": PROTOBUF, "x-api-key": key}
        ).status_code
        for name, key in made.items()
    }
    assert answers == {"sender": 200, "viewer": 403, "reader": 403, "caller": 403, "over": 401}
    headers = {"content-type": PROTOBUF, "x-api-key": made["sender"]}
    elsewhere = httpx.post(f"{server.url}/v1/traces", content=body, headers={**headers, "x-tidemill-project": "other"})
    assert elsewhere.status_code == 404
    assert httpx.get(f"{server.url}{server.api}/traces", headers=headers).status_code == 403
    assert names_of(server, trace) == {"span 1"}


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.ready["otlp_grpc"], options=[("grpc.max_send_message_length", -1)]) as opened:
        yield opened


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"garbage", {}, grpc.StatusCode.INVALID_ARGUMENT),
        (b"", {"authorization": "Bearer nobody"}, grpc.StatusCode.UNAUTHENTICATED),
        (b"", {"authorization": ""}, grpc.StatusCode.UNAUTHENTICATED),
        (b"", {"x-tidemill-project": "nowhere"}, grpc.StatusCode.PERMISSION_DENIED),
        (BOMB, {}, grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["garbage", "unknown token", "no token", "unknown project", "bomb"],
)
def test_what_is_wrong_over_grpc(server, channel, body, headers, code):
    metadata = {"authorization": f"Bearer {server.token}", **headers}
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(TRACES)(body, metadata=tuple(metadata.items()), compression=grpc.Compression.Gzip)
    assert caught.value.code() == code
    details = {key: value for key, value in caught.value.trailing_metadata() if key == "grpc-status-details-bin"}
    for each in details.values():
        status = status_pb2.Status.FromString(each)
        assert status.code == code.value[0]
        assert not any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)


def test_a_denied_call_over_grpc_is_kept(server, channel):
    key = server.http.post("/api/v1/projects/default/keys", json={"role": "viewer"}).json()
    with pytest.raises(grpc.RpcError):
        channel.unary_unary(TRACES)(b"", metadata=(("x-api-key", key["key"]),))
    lines = server.get("/audit")["items"]
    mine = [each for each in lines if each["action"] == "access.denied" and each["detail"]["route"] == "gRPC traces"]
    assert [(each["who"], each["detail"]["status"]) for each in mine] == [(f"key/{key['id']}", 403)]


def test_the_other_services_over_grpc(server, channel):
    metadata = (("x-api-key", server.token),)
    for name in ("logs.v1.LogsService", "metrics.v1.MetricsService"):
        assert channel.unary_unary(f"/opentelemetry.proto.collector.{name}/Export")(b"", metadata=metadata) == b""


def test_a_port_that_was_asked_for_and_is_taken(server, shell):
    port = server.ready["otlp_grpc"].rpartition(":")[2]
    shell("up", "--port", "0", "--otlp-grpc-port", port, "--data", "elsewhere", "--json").refused(6, port, "--otlp-grpc-port")
