"""Spans as a Parquet file that is written while it is sent: a batch is a row group."""
# pyright: basic
# pyarrow has no types.

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, cast

import anyio.to_thread

from tidemill.core.json import Json
from tidemill.telemetry.questions.trace import StoredSpan
from tidemill.telemetry.row import encode_value

_TEXTS: Final = (
    "trace_id", "span_id", "parent_id", "name", "kind", "status", "error", "model", "provider", "release", "endpoint", "step",
    "user", "session", "service", "scope", "dialect",
)  # fmt: skip
_COUNTS: Final = (
    "duration_ns", "first_token_ns", "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens",
    "audio_input_tokens", "audio_output_tokens",
)  # fmt: skip
_JSON: Final = ("input", "output", "attributes", "events", "links", "resource")


class _Sink:
    """A file that keeps what is written until it is taken."""

    closed = False

    def __init__(self) -> None:
        self._pieces = list[bytes]()
        self._size = 0

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        self._size += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """Nothing is open."""

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


async def parquet(batches: AsyncIterator[Mapping[str, list[StoredSpan]]]) -> AsyncIterator[bytes]:
    """A Parquet file of the spans of these batches, in pieces as they are written. Raises `MissingExtra`."""
    import pyarrow as pa  # noqa: PLC0415  (heavy)
    import pyarrow.parquet as pq  # noqa: PLC0415

    fields = [
        *((name, pa.string()) for name in _TEXTS), ("start", pa.timestamp("ns", tz="UTC")),
        *((name, pa.int64()) for name in _COUNTS), ("cost", pa.float64()), ("weight", pa.float64()),
        ("tags", pa.list_(pa.string())), ("finish_reasons", pa.list_(pa.string())),
        *((name, pa.string()) for name in _JSON),
    ]  # fmt: skip
    schema, sink = pa.schema(fields), _Sink()
    writer = pq.ParquetWriter(sink, schema, compression="zstd")

    def write(spans: Sequence[StoredSpan]) -> bytes:
        writer.write_table(pa.Table.from_pylist([_row(each) for each in spans], schema=schema))
        return sink.take()

    async for batch in batches:
        yield await anyio.to_thread.run_sync(write, [span for spans in batch.values() for span in spans])
    writer.close()
    yield sink.take()


def _row(span: StoredSpan) -> dict[str, object]:
    return {
        **{name: getattr(span, name) for name in (*_TEXTS, *_COUNTS, "cost", "weight")},
        "start": span.start_ns,
        "tags": list(span.tags),
        "finish_reasons": list(span.finish_reasons),
        **{name: encode_value(_plain(getattr(span, name))) for name in _JSON},
    }


def _plain(value: object) -> Json:
    return cast("Json", list(cast("Sequence[object]", value)) if isinstance(value, tuple) else value)
