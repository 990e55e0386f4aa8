"""What a scripted upstream may do: answer well, or in one of the ways in which real ones fail."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import socket
import struct
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

import orjson

from tidemill.core.json import Json, JsonObject

WORDS: Final = ("the ", "tide ", "turns ", "at ", "noon")
"""What a good answer says."""
Fault: TypeAlias = Literal["none", "before", "within"]
_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"
_MOMENT: Final = 0.05  # seconds
_HUGE: Final = b"x" * 65536


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with a reset (RST) in place of an end."""
    found = cast("socket.socket | None", writer.get_extra_info("socket"))
    if found is not None:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Exchange:
    """One request and the connection to answer it on."""

    def __init__(self, fields: JsonObject, writer: asyncio.StreamWriter) -> None:
        self.fields = fields
        self._writer = writer

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return self.fields.get("stream") is True

    @property
    def model(self) -> str:
        """The model that was asked."""
        return str(self.fields.get("model"))

    async def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def head(self, content_type: str, *, status: str = "200 OK", length: int | None = None, more: str = "") -> None:
        """Begin an HTTP answer; without a length it ends when the connection is closed."""
        size = "connection: close" if length is None else f"content-length: {length}"
        await self.send(f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\n{size}\r\n{more}\r\n".encode())

    async def whole(self, body: bytes, content_type: str = _JSON, *, status: str = "200 OK", more: str = "") -> None:
        """A whole answer."""
        await self.head(content_type, status=status, length=len(body), more=more)
        await self.send(body)

    async def pieces(self, *pieces: bytes) -> None:
        """The beginning of a stream of events."""
        await self.head(_EVENTS)
        for each in pieces:
            await self.send(each)

    def reset(self) -> None:
        """Break the connection off."""
        reset(self._writer)


Answer: TypeAlias = Callable[[Exchange], Coroutine[None, None, bool]]
"""Answers a request; whether the connection may be used again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Behaviour:
    """`fault`: whether it fails before the first token (of whole answers too) or after it. `before`: it does not even read."""

    answer: Answer
    fault: Fault
    about: str
    before: Literal["reset"] | None = None


def completion(model: str, *, usage: Json = None, **fields: Json) -> bytes:
    """A whole answer of OpenAI's dialect."""
    message: JsonObject = {"role": "assistant", "content": "".join(WORDS)}
    return orjson.dumps(
        {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage or {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}, **fields,
        }
    )  # fmt: skip


def chunk(model: str, text: str | None = None, *, finish: str | None = None, **fields: Json) -> bytes:
    """One event of a stream of OpenAI's dialect."""
    delta: JsonObject = {} if text is None else {"content": text}
    choices: Json = [{"index": 0, "delta": delta, "finish_reason": finish}]
    head: dict[str, Json] = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    return b"data: " + orjson.dumps({**head, "choices": choices, **fields}) + b"\n\n"


def good_stream(model: str, *, usage: Json = None) -> Iterator[bytes]:
    """The events of a good stream."""
    for word in WORDS:
        yield chunk(model, word)
    yield chunk(model, finish="stop")
    used = usage or {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    yield b"data: " + orjson.dumps({"object": "chat.completion.chunk", "model": model, "choices": [], "usage": used}) + b"\n\n"
    yield b"data: [DONE]\n\n"


async def _answers(exchange: Exchange) -> bool:
    if exchange.stream:
        await exchange.pieces(*good_stream(exchange.model))
        return False
    await exchange.whole(completion(exchange.model))
    return True


async def _lies_about_usage(exchange: Exchange) -> bool:
    lie: Json = {"prompt_tokens": -5, "completion_tokens": 10**15, "total_tokens": "many"}
    if exchange.stream:
        await exchange.pieces(*good_stream(exchange.model, usage=lie))
        return False
    await exchange.whole(completion(exchange.model, usage=lie))
    return True


async def _forever(_: Exchange) -> bool:
    await asyncio.Event().wait()
    return False


async def _hangs_after_head(exchange: Exchange) -> bool:
    await exchange.head(_EVENTS if exchange.stream else _JSON)
    return await _forever(exchange)


async def _comments_only(exchange: Exchange) -> bool:
    """Keeps the connection warm with comments, and never says anything."""
    await exchange.head(_EVENTS if exchange.stream else _JSON)
    while True:
        await exchange.send(b": still here\n\n" if exchange.stream else b" ")
        await asyncio.sleep(0.02)


async def _never_ends(exchange: Exchange) -> bool:
    if not exchange.stream:
        return await _comments_only(exchange)
    await exchange.head(_EVENTS)
    while True:
        await exchange.send(chunk(exchange.model, "more "))
        await asyncio.sleep(0.005)


async def _trickle(exchange: Exchange) -> bool:
    """A good answer, a few bytes at a time."""
    body = b"".join(good_stream(exchange.model)) if exchange.stream else completion(exchange.model)
    await exchange.head(_EVENTS if exchange.stream else _JSON, length=len(body))
    for start in range(0, len(body), 64):
        await exchange.send(body[start : start + 64])
        await asyncio.sleep(0.002)
    return True


async def _huge_line(exchange: Exchange) -> bool:
    await exchange.head(_EVENTS if exchange.stream else _JSON)
    await exchange.send(b'data: {"choices": "' if exchange.stream else b'{"choices": "')
    for _ in range(1200):
        await exchange.send(_HUGE)
    return False


async def _huge_head(exchange: Exchange) -> bool:
    await exchange.send(b"HTTP/1.1 200 OK\r\nx-long: " + _HUGE * 4 + b"\r\n\r\n")
    return False


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(b" " * (96 * 2**20), compresslevel=1)


async def _zip_bomb(exchange: Exchange) -> bool:
    await exchange.whole(_bomb(), _EVENTS if exchange.stream else _JSON, more="content-encoding: gzip\r\n")
    return False


async def _resets(exchange: Exchange) -> bool:
    exchange.reset()
    return False


def _says(raw: bytes) -> Answer:
    """These bytes, and an end."""

    async def answer(exchange: Exchange) -> bool:
        await exchange.send(raw)
        return False

    return answer


def _refuses(status: str, body: JsonObject, *, more: str = "") -> Answer:
    async def answer(exchange: Exchange) -> bool:
        await exchange.whole(orjson.dumps(body), status=status, more=more)
        return True

    return answer


def _gives(body: bytes, *, content_type: str | None = None, more: str = "") -> Answer:
    """A 200 with this body, whatever was asked for."""

    async def answer(exchange: Exchange) -> bool:
        await exchange.whole(body, content_type or (_EVENTS if exchange.stream else _JSON), more=more)
        return True

    return answer


def _breaks(then: Answer, *, pieces: int = 2, also: bytes = b"") -> Answer:
    """The beginning of a good stream, and then something else; a whole answer is good, for it has no within."""

    async def answer(exchange: Exchange) -> bool:
        if not exchange.stream:
            return await _answers(exchange)
        await exchange.pieces(*(chunk(exchange.model, word) for word in WORDS[:pieces]))
        await asyncio.sleep(_MOMENT)  # so that the words go out before what is wrong is seen
        await exchange.send(also)
        return await then(exchange)

    return answer


async def _ends(_: Exchange) -> bool:
    return False


async def _half_answer(exchange: Exchange) -> bool:
    """Half of what the head promised."""
    if exchange.stream:
        await exchange.pieces(chunk(exchange.model, "the ")[:-20])
        return False
    body = completion(exchange.model)
    await exchange.head(_JSON, length=len(body))
    await exchange.send(body[: len(body) // 2])
    return False


_ERROR: Final[JsonObject] = {"error": {"message": "the engine stopped", "type": "server_error", "code": "internal"}}
_INSIDE: Final = b"data: " + orjson.dumps(_ERROR) + b"\n\n"


async def _error_inside(exchange: Exchange) -> bool:
    await exchange.whole(_INSIDE if exchange.stream else orjson.dumps(_ERROR), _EVENTS if exchange.stream else _JSON)
    return True


def _behaviour(answer: Answer, fault: Fault, about: str, *, before: Literal["reset"] | None = None) -> Behaviour:
    return Behaviour(answer=answer, fault=fault, about=about, before=before)


BEHAVIOURS: Final[Mapping[str, Behaviour]] = {
    "answers": _behaviour(_answers, "none", "a good answer"),
    "trickle": _behaviour(_trickle, "none", "a good answer, 64 bytes at a time"),
    "lies_about_usage": _behaviour(_lies_about_usage, "none", "a good answer with impossible counts of tokens"),
    "refuses": _behaviour(_resets, "before", "every connection is reset before it is read", before="reset"),
    "resets": _behaviour(_resets, "before", "the connection breaks when the request was read"),
    "hangs_before": _behaviour(_forever, "before", "the request is read, and nothing comes"),
    "hangs_after_head": _behaviour(_hangs_after_head, "before", "a head, and nothing more"),
    "comments_only": _behaviour(_comments_only, "before", "comments that keep the connection, and never a word"),
    "garbage": _behaviour(_says(b"\x00\xff not HTTP at all \xfe\r\n\r\n"), "before", "bytes that are no HTTP"),
    "garbage_body": _behaviour(_gives(b"\xff\xfe{{{ \x00"), "before", "a 200 whose body is noise"),
    "nothing": _behaviour(_gives(b""), "before", "a 200 with an empty body"),
    "no_choices": _behaviour(_gives(b'{"choices": []}', content_type=_JSON), "before", "a 200 with no answer in it"),
    "deep": _behaviour(_gives(b"[" * 100_000, content_type=_JSON), "before", "JSON nested a hundred thousand deep"),
    "half_answer": _behaviour(_half_answer, "before", "an answer or an event that breaks off in its middle"),
    "wrong_type": _behaviour(_gives(b"<html><title>Sign in</title></html>", content_type="text/html"), "before", "a web page"),
    "bad_chunks": _behaviour(
        _says(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
        "before", "chunks whose lengths are no numbers",
    ),
    "bad_gzip": _behaviour(_gives(b"not gzip", more="content-encoding: gzip\r\n"), "before", "a body that does not unpack"),
    "zip_bomb": _behaviour(_zip_bomb, "before", "96 MiB of blanks in a few kilobytes"),
    "huge_line": _behaviour(_huge_line, "before", "75 MiB without the end of a line"),
    "huge_head": _behaviour(_huge_head, "before", "a head of a quarter of a megabyte"),
    "error_inside": _behaviour(_error_inside, "before", "a 200 with an error inside"),
    "redirects": _behaviour(_refuses("302 Found", {}, more="location: http://127.0.0.1:1/\r\n"), "before", "elsewhere"),
    "fails": _behaviour(_refuses("500 Internal Server Error", _ERROR), "before", "500"),
    "overloaded": _behaviour(_refuses("503 Service Unavailable", _ERROR), "before", "503"),
    "limits": _behaviour(
        _refuses("429 Too Many Requests", {"error": {"message": "slow down"}}, more="retry-after: 1\r\n"), "before", "429"
    ),
    "forbids": _behaviour(_refuses("401 Unauthorized", {"error": {"message": "bad key"}}), "before", "401"),
    "hangs_within": _behaviour(_breaks(_forever), "within", "two words, and then nothing"),
    "ends_within": _behaviour(_breaks(_ends), "within", "two words, and the end without saying so"),
    "resets_within": _behaviour(_breaks(_resets), "within", "two words, and a reset"),
    "half_event": _behaviour(_breaks(_ends, also=b'data: {"choices": [{"de'), "within", "two words and half an event"),
    "error_within": _behaviour(_breaks(_ends, also=_INSIDE), "within", "two words and an error"),
    "never_ends": _behaviour(_never_ends, "within", "a stream without an end; whole, blanks without an end"),
}  # fmt: skip
"""Everything that a scripted upstream can do, by name."""
