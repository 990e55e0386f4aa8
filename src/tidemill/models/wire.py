"""HTTP to providers: JSON in, JSON or a stream of events out, and every failure as one of our errors."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import functools
from collections.abc import AsyncGenerator, Mapping
from typing import Final, cast
from urllib.parse import urlsplit

import aiohttp
import orjson
from yarl import URL

from tidemill.core.chat import Connection
from tidemill.core.errors import Denied, Invalid, TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.models.events import EventReader, ServerEvent
from tidemill.models.guard import check_host, connector, is_private, refused
from tidemill.models.http1 import Lines, Reply
from tidemill.models.refusals import refusal, shortened
from tidemill.version import __version__

_LARGEST_ANSWER = 64 * 1024 * 1024
_LARGEST_REFUSAL = 64 * 1024
_HEADERS: Final[Mapping[str, str]] = {
    "user-agent": f"tidemill/{__version__}", "accept": "*/*", "accept-encoding": "gzip", "content-type": "application/json",
}  # fmt: skip
_SHOWN = ("content-type", "x-request-id", "request-id", "openai-processing-ms", "openai-version")


class Wire:
    """One provider's connections. Belongs to one event loop."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._lines: dict[bool, Lines] = {}

    async def ask(
        self, url: str, body: JsonObject | bytes, *, headers: Mapping[str, str], connection: Connection, secret: str | None
    ) -> JsonObject:
        """POST `body` and read the JSON object that comes back. `secret` is struck out of any error."""
        answer = await self.ask_any(url, body, headers=headers, connection=connection, secret=secret)
        if not isinstance(answer, Mapping):
            said = f"{self._provider} answered with JSON that is not an object"
            raise Unavailable(said, where=_where(connection), kind="server")
        return answer

    async def ask_any(
        self,
        url: str,
        body: JsonObject | bytes | None,
        *,
        headers: Mapping[str, str],
        connection: Connection,
        secret: str | None,
    ) -> Json:
        """POST `body`, or GET where it is None, and read the JSON that comes back, of any type."""
        async with self._post(url, body, headers=headers, connection=connection, secret=secret) as response:
            content = await _read(response, _LARGEST_ANSWER)
            try:
                return cast("Json", orjson.loads(content))
            except orjson.JSONDecodeError:
                raise self._not_json(response, content.decode("utf-8", "replace"), connection) from None

    async def pieces(
        self,
        url: str,
        body: JsonObject | bytes | None,
        *,
        headers: Mapping[str, str],
        connection: Connection,
        secret: str | None,
    ) -> AsyncGenerator[bytes]:
        """POST `body`, or GET where it is None, and yield the bytes of a stream in any form as they arrive."""
        headers = {"accept-encoding": "identity", **headers}
        async with self._post(url, body, headers=headers, connection=connection, secret=secret) as response:
            if response.content_type in {"text/html", "application/json"}:
                text = (await _read(response, _LARGEST_REFUSAL)).decode("utf-8", "replace")
                raise self._not_json(response, text, connection)
            async for piece in response.pieces():
                yield piece

    async def events(
        self, url: str, body: JsonObject, *, headers: Mapping[str, str], connection: Connection, secret: str | None
    ) -> AsyncGenerator[ServerEvent]:
        """POST `body` and yield the events that come back. Closing the generator closes the connection."""
        headers = {**headers, "accept": "text/event-stream", "accept-encoding": "identity"}
        async with self._post(url, body, headers=headers, connection=connection, secret=secret) as response:
            if response.content_type in {"text/html", "application/json"}:
                text = (await _read(response, _LARGEST_REFUSAL)).decode("utf-8", "replace")
                raise self._not_json(response, text, connection)
            reader = EventReader()
            async for piece in response.pieces():
                for event in reader.feed(piece):
                    yield event
            last = reader.end()
            if last is not None:
                yield last

    async def close(self) -> None:
        """Close every connection."""
        lines = tuple(self._lines.values())
        self._lines.clear()
        for each in lines:
            await each.close()

    async def open(
        self, url: str, body: bytes, *, headers: Mapping[str, str], connection: Connection, secret: str | None
    ) -> tuple[Mapping[str, str], AsyncGenerator[bytes]]:
        """POST `body`; the headers of a success that a client may see, and its bytes as they arrive, in whatever form.

        The bytes have to be iterated, or the connection stays open; closing them closes it.
        """
        headers = {**headers, "accept-encoding": "identity"}
        response = await self._send(url, body, headers=headers, connection=connection, secret=secret)
        return _shown(response), self._bytes(response, connection)

    async def _bytes(self, response: Reply, connection: Connection) -> AsyncGenerator[bytes]:
        try:
            async for piece in response.pieces():
                yield piece
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._broken(error, connection) from error
        finally:
            response.let_go()

    @contextlib.asynccontextmanager
    async def _post(
        self,
        url: str,
        body: JsonObject | bytes | None,
        *,
        headers: Mapping[str, str],
        connection: Connection,
        secret: str | None,
    ) -> AsyncGenerator[Reply]:
        response = await self._send(url, body, headers=headers, connection=connection, secret=secret)
        try:
            yield response
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._broken(error, connection) from error
        finally:
            response.let_go()

    async def _send(
        self,
        url: str,
        body: JsonObject | bytes | None,
        *,
        headers: Mapping[str, str],
        connection: Connection,
        secret: str | None,
    ) -> Reply:
        """Wait for the head of a success; everything else is raised."""
        response: Reply | None = None
        try:
            address = _address(url)
            if not connection.allow_private:
                check_host(address)
            response = await self._lines_for(connection).ask(
                "GET" if body is None else "POST",
                address,
                body if body is None or isinstance(body, bytes) else _encode(body),
                headers={**_HEADERS, **{name.lower(): value for name, value in headers.items()}},
                timeout=connection.timeout,
            )
            if response.status < 300:
                return response
            raise await self._refusal(response, connection, secret)
        except BaseException as error:
            if response is not None:
                response.let_go()
            if isinstance(error, TimeoutError | aiohttp.ClientError | OSError):
                raise self._broken(error, connection) from error
            if isinstance(error, Denied):
                error.where = error.where or _where(connection)
            raise

    def _lines_for(self, connection: Connection) -> Lines:
        lines = self._lines.get(connection.allow_private)
        if lines is None:
            lines = Lines(connector(allow_private=connection.allow_private, limit=0))
            self._lines[connection.allow_private] = lines
        return lines

    async def _refusal(self, response: Reply, connection: Connection, secret: str | None) -> TidemillError:
        text = (await _read(response, _LARGEST_REFUSAL, strict=False)).decode("utf-8", "replace")
        if secret and len(secret) >= 8:
            text = text.replace(secret, "…")
        return refusal(
            response.status,
            text,
            provider=self._provider,
            connection=connection.name,
            retry_after=_retry_after(response),
            html=_looks_like_html(response, text),
        )

    def _not_json(self, response: Reply, text: str, connection: Connection) -> Unavailable:
        html = _looks_like_html(response, text)
        what = shortened(text, html=html) or "nothing"
        return Unavailable(
            f"{self._provider} answered {response.status} with {what}" + ("" if html else " where JSON was expected"),
            where=_where(connection),
            hint=f"Check base_url of {_where(connection)}: {response.url.origin()}{response.url.path} may not be an API.",
            kind="server",
        )

    def _broken(self, error: Exception, connection: Connection) -> TidemillError:
        where = _where(connection)
        if isinstance(error, aiohttp.InvalidURL):
            return Invalid(f"base_url cannot be used: {error}", where=where, hint=f"Check base_url of {where}.", kind="invalid")
        if isinstance(error, asyncio.TimeoutError):
            hint = f"Raise timeout of {where}, or look at why it is slow."
            silent = f"{self._provider} was silent for {connection.timeout:g} s"
            return Unavailable(silent, where=where, hint=hint, kind="timeout")
        if is_private(error):
            denied = refused(urlsplit(connection.base_url or "").hostname or "the host")
            denied.where = where
            return denied
        if isinstance(error, aiohttp.ClientConnectorError):
            hint = f"Is it running? Check base_url of {where}."
            return Unavailable(f"{self._provider} cannot be reached: {error}", where=where, hint=hint, kind="connection")
        said = str(error) or type(error).__name__
        return Unavailable(f"{self._provider} broke the connection off: {said}", where=where, kind="connection")


@functools.lru_cache(maxsize=1024)
def _address(url: str) -> URL:
    """A URL as it is asked for; what is escaped is sent as it was signed."""
    return URL(url, encoded="%" in url)


def _shown(response: Reply) -> Mapping[str, str]:
    """Headers that mean something to a client; not those that say whose account it is, or what is left of its limits."""
    return {name: response.headers[name] for name in _SHOWN if name in response.headers}


def _encode(body: JsonObject) -> bytes:
    try:
        return orjson.dumps(body)
    except (TypeError, ValueError) as error:
        raise Invalid(f"the request cannot be written as JSON: {error}") from error


async def _read(response: Reply, most: int, *, strict: bool = True) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in response.pieces():
        pieces.append(piece)
        size += len(piece)
        if size > most:
            if strict:
                raise Unavailable(f"the answer is longer than {most // 2**20} MiB")
            break
    return b"".join(pieces)


def _looks_like_html(response: Reply, text: str) -> bool:
    return response.content_type == "text/html" or text.lstrip()[:9].lower().startswith(("<!doctype", "<html"))


def _retry_after(response: Reply) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `Retry-After` (RFC 9110: seconds, or a date, counted from the answer's own)."""
    with contextlib.suppress(ValueError):
        if "retry-after-ms" in response.headers:
            return max(0.0, float(response.headers["retry-after-ms"]) / 1000)
    text = response.headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(0.0, float(text))
    with contextlib.suppress(ValueError, TypeError):
        then = email.utils.parsedate_to_datetime(text)
        return max(0.0, (then - email.utils.parsedate_to_datetime(response.headers["date"])).total_seconds())
    return None


def _where(connection: Connection) -> str:
    return f"connection/{connection.name}"
