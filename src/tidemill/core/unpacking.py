"""Bodies that come compressed: gzip, deflate and zstd, a piece at a time, never more than a bounded step ahead."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Final, Protocol

from tidemill.core.errors import Invalid, UnsupportedMedia

ENCODINGS: Final = ("gzip", "deflate", "zstd")
_STEP: Final = 1024 * 1024  # bytes that are unpacked at once, so that a bomb is seen after the first of them
_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB_METHOD: Final = 8
_LARGEST_WINDOW: Final = 27  # 128 MiB, as RFC 8878 advises


class Unpacker(Protocol):
    """Unpacks one body."""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What a piece unpacks to, in steps of at most a mebibyte. Raises `Invalid` for bytes that are not packed so."""
        ...

    def check_complete(self) -> None:
        """Raise `Invalid` when the packed data stopped short of its end."""
        ...


def unpacker(encoding: str) -> Unpacker | None:
    """For a `content-encoding`; None for a body as it is. Raises `UnsupportedMedia` for any other."""
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return _Gzip()
        case "deflate":
            return _Deflate()
        case "zstd":
            return _Zstd()
        case _:
            raise UnsupportedMedia(
                f"the content-encoding {encoding[:80]!r} is not known",
                hint=f"Use {', '.join(ENCODINGS)}, or send it as it is.",
            )


class _Gzip:
    """Gzip; members that follow one another are one body, as RFC 1952 says."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP)
        self._began = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        try:
            step = b""
            while piece or len(step) == _STEP:
                if self._stream.eof:
                    self._stream = zlib.decompressobj(_GZIP)
                self._began = True
                step = self._stream.decompress(piece, _STEP)
                yield step
                piece = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
                step = b"" if self._stream.eof else step
        except zlib.error as error:
            raise Invalid(f"the body is not gzip: {error}", hint="Send it as its content-encoding says.") from error

    def check_complete(self) -> None:
        if self._began and not self._stream.eof:
            raise Invalid("the gzip data ends before its end", hint="Send all of it.")


class _Deflate:
    """What HTTP calls deflate: the zlib form, or the bare one that some programs send under that name."""

    def __init__(self) -> None:
        self._stream: Any = None

    def feed(self, piece: bytes) -> Iterator[bytes]:
        if self._stream is None and piece:
            bare = piece[0] & 0x0F != _ZLIB_METHOD
            self._stream = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS)
        try:
            step = b""
            while self._stream is not None and (piece or len(step) == _STEP) and not self._stream.eof:
                step = self._stream.decompress(piece, _STEP)
                yield step
                piece = self._stream.unconsumed_tail
        except zlib.error as error:
            raise Invalid(f"the body is not deflate: {error}", hint="Send it as its content-encoding says.") from error

    def check_complete(self) -> None:
        if self._stream is not None and not self._stream.eof:
            raise Invalid("the deflate data ends before its end", hint="Send all of it.")


class _Zstd:
    """Zstandard; frames that follow one another are one body."""

    def __init__(self) -> None:
        self._stream: Any = _decompressor()
        self._began = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        from backports.zstd import ZstdError  # noqa: PLC0415  (only for bodies that are packed so)

        try:
            while piece or not (self._stream.eof or self._stream.needs_input):
                if self._stream.eof:
                    self._stream = _decompressor()
                self._began = True
                yield self._stream.decompress(piece, _STEP)
                piece = self._stream.unused_data if self._stream.eof else b""
        except ZstdError as error:
            raise Invalid(f"the body is not zstd: {error}", hint="Send it as its content-encoding says.") from error

    def check_complete(self) -> None:
        if self._began and not self._stream.eof:
            raise Invalid("the zstd data ends before its end", hint="Send all of it.")


def _decompressor() -> Any:
    from backports.zstd import DecompressionParameter, ZstdDecompressor  # noqa: PLC0415  (the same)

    return ZstdDecompressor(options={DecompressionParameter.window_log_max: _LARGEST_WINDOW})
