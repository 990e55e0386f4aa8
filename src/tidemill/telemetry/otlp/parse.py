"""Bytes of a request into its message, in either form. Text that is no UTF-8 does not cost a batch: it is mended."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, cast

from tidemill.core.errors import Invalid
from tidemill.telemetry.otlp.answers import Form, Signal
from tidemill.telemetry.otlp.json_form import parse_json
from tidemill.telemetry.otlp.tally import Tally
from tidemill.telemetry.otlp.variant import packed_traces, variant

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto
    from google.protobuf.message import Message
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def parse_traces(body: bytes, *, form: Form, tally: Tally) -> ExportTraceServiceRequest:
    """An export of spans, whose attributes are packed (`variant.packed_traces`). Raises `Invalid`."""
    message, body = _parse(body, "traces", form, tally)
    return packed_traces().FromString(message.SerializeToString() if form == "json" else body)  # it was checked whole


def parse_logs(body: bytes, *, form: Form, tally: Tally) -> ExportLogsServiceRequest:
    """An export of log records. Raises `Invalid`."""
    return cast("ExportLogsServiceRequest", _parse(body, "logs", form, tally)[0])


def parse_metrics(body: bytes, *, form: Form, tally: Tally) -> ExportMetricsServiceRequest:
    """An export of metrics. Raises `Invalid`."""
    return cast("ExportMetricsServiceRequest", _parse(body, "metrics", form, tally)[0])


def _parse(body: bytes, signal: Signal, form: Form, tally: Tally) -> tuple[Message, bytes]:
    """The message, and the bytes it was made of, which were mended where need be."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415  (only a server that is sent something needs it)

    message = _kind(signal)()
    if form == "json":
        parse_json(body, message)
        return message, body
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        mended = _mended(body, message)
        if mended is None:
            raise Invalid(
                f"the body is not an OTLP request in protobuf: {error}", hint="Send what an OTLP exporter makes, whole."
            ) from error
        tally.warn("requests had text that is no UTF-8, which was mended")
        message.ParseFromString(mended)
        return message, mended
    return message, body


@cache
def _kind(signal: Signal) -> type[Message]:
    # heavy imports: only a server that is sent something needs them
    match signal:
        case "traces":
            from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415
                ExportTraceServiceRequest as Request,
            )
        case "logs":
            from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (  # noqa: PLC0415
                ExportLogsServiceRequest as Request,
            )
        case "metrics":
            from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (  # noqa: PLC0415
                ExportMetricsServiceRequest as Request,
            )
    return Request


def _mended(body: bytes, message: Message) -> bytes | None:
    """The same request with what is no UTF-8 replaced; None when that is not what is wrong with it."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415  (the same)

    loose = _loose(message.DESCRIPTOR.file.name, message.DESCRIPTOR.full_name)()
    try:
        loose.ParseFromString(body)
    except DecodeError:
        return None
    _mend(loose, message.DESCRIPTOR)
    return loose.SerializeToString()


def _mend(loose: Any, strict: Any) -> None:
    """Replace, in a message whose texts are bytes, what is no UTF-8. `strict` says which of its fields are texts."""
    for field, value in loose.ListFields():
        wanted = strict.fields_by_number[field.number]
        if field.type == field.TYPE_MESSAGE:
            for each in value if field.is_repeated else (value,):
                _mend(each, wanted.message_type)
        elif wanted.type == wanted.TYPE_STRING:
            if field.is_repeated:
                value[:] = [_utf8(each) for each in value]
            else:
                setattr(loose, field.name, _utf8(value))


def _utf8(content: bytes) -> bytes:
    return content.decode("utf-8", "replace").encode()


@cache
def _loose(file: str, name: str) -> type[Any]:
    """The message with every text as bytes."""

    def loosen(_message: str, field: FieldDescriptorProto) -> None:
        if field.type == field.TYPE_STRING:
            field.type = field.TYPE_BYTES

    return variant(file, name, loosen)
