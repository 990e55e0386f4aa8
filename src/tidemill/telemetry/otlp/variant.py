"""Messages that read the same bytes in another way, made of the protocol's own description: they cannot fall behind it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_SERVICE: Final = "opentelemetry/proto/collector/trace/v1/trace_service.proto"
_REQUEST: Final = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest"


def variant(file: str, name: str, change: Callable[[str, FieldDescriptorProto], None]) -> type[Any]:
    """The message `name` of `file`; `change` is given each field, after its message's name, and may say that it is bytes."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: PLC0415  (only servers need it)

    known = descriptor_pool.Default()
    pool = descriptor_pool.DescriptorPool()

    def add(path: str) -> None:
        described = descriptor_pb2.FileDescriptorProto()
        known.FindFileByName(path).CopyToProto(described)
        for dependency in described.dependency:
            add(dependency)
        pending = list(described.message_type)
        while pending:
            each = pending.pop()
            pending += each.nested_type
            for field in each.field:
                change(each.name, field)
        pool.Add(described)  # pyright: ignore[reportUnknownMemberType]

    add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


@cache
def packed_traces() -> type[ExportTraceServiceRequest]:
    """An export whose spans have their attributes as bytes, a `KeyValue` each: see `values.read_packed`."""

    def pack(message: str, field: FieldDescriptorProto) -> None:
        if message == "Span" and field.name == "attributes":
            field.type = field.TYPE_BYTES
            field.ClearField("type_name")

    return variant(_SERVICE, _REQUEST, pack)
