"""Traces out of files, as a call."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypedDict, cast

import anyio.to_thread

from tidemill.client.calls import Calls
from tidemill.core.errors import Invalid
from tidemill.core.unpacking import unpacker

_PIECE: Final = 1 << 20
_BATCH: Final = 8 << 20
_SECONDS: Final = 600.0
_PACKED: Final = {".gz": "gzip", ".zst": "zstd"}
_LINES: Final = (b'"resourceSpans"', b'"resourceLogs"', b'"resourceMetrics"', b'"resource_spans"', b'"resource_logs"')


class TracesImportedJson(TypedDict):
    """What became of a file; `message` says what was rejected and why, and what else there is to know."""

    format: str
    spans: int
    rejected: int
    scores: int
    message: str


class TraceImportCalls(Calls):
    """Calls that take in traces."""

    async def import_traces(self, file: Path, *, format: str = "") -> TracesImportedJson:  # noqa: A002  (the API's name)
        """Take the traces of a file: OTLP, or another platform's export; `.gz` and `.zst` are unpacked.

        The same file again changes nothing. OTLP as JSON lines may be of any size, and is sent in parts. Raises `Invalid` for
        a file that cannot be read.
        """
        done = TracesImportedJson(format="", spans=0, rejected=0, scores=0, message="")
        with tempfile.TemporaryDirectory(prefix="tidemill-") as folder:
            parts = _parts(file)
            while (part := await anyio.to_thread.run_sync(next, parts, None)) is not None:
                await anyio.Path(folder, "part").write_bytes(part)
                params = {"name": file.name[:300], "format": format or None}
                sent = await self._line.send_file(
                    "POST", "/traces:import", Path(folder, "part"), params=params, seconds=_SECONDS
                )
                answer = cast("TracesImportedJson", sent)
                done = TracesImportedJson(
                    format=answer["format"],
                    spans=done["spans"] + answer["spans"],
                    rejected=done["rejected"] + answer["rejected"],
                    scores=done["scores"] + answer["scores"],
                    message=answer["message"] or done["message"],
                )
        return done


def _parts(file: Path) -> Iterator[bytes]:
    """The content: in whole lines of some megabytes where each line is a request of its own, else all at once."""
    waiting = bytearray()
    by_line: bool | None = None
    for piece in _unpacked(file):
        waiting += piece
        if by_line is None:
            line, ending, _ = bytes(waiting[:_PIECE]).partition(b"\n")
            if ending or len(waiting) >= _PIECE:
                by_line = bool(ending) and any(each in line[:200] for each in _LINES) and line.rstrip().endswith(b"}")
        if by_line and len(waiting) > _BATCH:
            end = waiting.rfind(b"\n") + 1
            if end:
                yield bytes(waiting[:end])
                del waiting[:end]
    if waiting or by_line is None:
        yield bytes(waiting)


def _unpacked(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as opened:
            unpack = unpacker(_PACKED.get(file.suffix, ""))
            while piece := opened.read(_PIECE):
                if unpack is None:
                    yield piece
                else:
                    yield from unpack.feed(piece)
            if unpack is not None:
                unpack.check_complete()
    except Invalid as error:
        raise Invalid(f"{file.name}: {error.message}", hint="The file may have been cut off: make it again.") from error
    except (OSError, zlib.error) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise Invalid(f"{file} cannot be read: {said}", hint="Name a file of traces.") from error
