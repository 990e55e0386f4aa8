"""One open line to the control plane: requests in, checked answers out, wherever the API runs."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote
from uuid import uuid4

import anyio
import httpx
import orjson

from tidemill.client.events import ServerEvent, server_events
from tidemill.client.locate import Target, locate
from tidemill.client.problems import problem_error, raise_for_problem
from tidemill.client.retry import Retries, Trying
from tidemill.client.transport import AppTransport
from tidemill.core.errors import Conflict, Invalid, Unavailable
from tidemill.core.json import Json, JsonObject, parse_json
from tidemill.core.served import is_loopback, read_token
from tidemill.core.settings import Settings

_IN_PROCESS = "http://127.0.0.1"
_PIECE = 1024 * 1024
_CONNECT = 10.0  # seconds
Params = Mapping[str, str | int | float | bool | Sequence[str] | None]


_CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_ASKS = re.compile(r"(?::search|:missing|:estimate|/plan|/comparisons|/query|/policies:check)$")
"""What is sent by POST and changes nothing."""


class Line:
    """Requests below `/api/v1/projects/{project}`; errors come back as the `TidemillError` that they were.

    A call is tried again as `retries` say. One that changes something carries an `Idempotency-Key`, the same at each try, so
    that it is done once also when an answer was lost.
    """

    def __init__(
        self, http: httpx.AsyncClient, *, project: str, where: str, in_process: bool, retries: Retries | None = None
    ) -> None:
        self._http = http
        self._project = project
        self._base = f"/api/v1/projects/{project}"
        self._retries = retries or Retries()
        self.where = where
        self.in_process = in_process

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: Json = None,
        content: bytes | None = None,
        params: Params | None = None,
        if_match: str | None = None,
    ) -> Json:
        """Send a request below the project and return the answer's JSON; None when it has no body.

        With `if_match`, an entity tag, it changes only what is still in that state, else raises `PreconditionFailed`.
        """
        answer = await self._answer(method, self._base + path, body=body, content=content, params=params, if_match=if_match)
        return _json(answer, method, path)

    async def read(self, path: str, *, params: Params | None = None) -> tuple[Json, str | None]:
        """The JSON of a route below the project, and its entity tag."""
        answer = await self._answer("GET", self._base + path, params=params)
        return _json(answer, "GET", path), answer.headers.get("etag")

    async def send_absolute(
        self, method: str, path: str, *, body: Json = None, content: bytes | None = None, params: Params | None = None
    ) -> Json:
        """The same for any path of the server."""
        return _json(await self._answer(method, path, body=body, content=content, params=params), method, path)

    async def ask(self, path: str, body: JsonObject) -> Json:
        """The JSON that the data plane (`/v1/…`) answers for the project."""
        request = self._request("POST", path, body=body)
        request.headers["x-tidemill-project"] = self._project
        answer = await self._sent(lambda: request, Trying(self._retries, repeatable=True))
        await raise_for_problem(answer)
        return _json(answer, "POST", path)

    async def fetch(self, method: str, path: str, *, body: Json = None, params: Params | None = None) -> bytes:
        """Send a request below the project and return the answer's bytes, which need not be JSON."""
        return (await self._answer(method, self._base + path, body=body, params=params)).content

    async def send_file(
        self, method: str, path: str, file: Path, *, params: Params | None = None, seconds: float | None = None
    ) -> Json:
        """Send a file's bytes below the project, a piece at a time; the answer's JSON, None when it has no body.

        `seconds` is how long the answer may take; without it, as long as any other. What a PUT sends may be sent again.
        """
        size = (await anyio.Path(file).stat()).st_size
        headers = {"content-type": "application/octet-stream", "content-length": str(size)}

        def make() -> httpx.Request:
            return self._http.build_request(
                method, self._base + path, content=_pieces(file), headers=headers, params=_given(params)
            )

        answer = await self._sent(make, Trying(self._retries, repeatable=method == "PUT"), seconds=seconds)
        await raise_for_problem(answer)
        return _json(answer, method, path)

    async def save(self, path: str, file: Path, *, params: Params | None = None, seconds: float | None = None) -> int:
        """Write what a GET below the project, or of a whole path, answers to a file, a piece at a time; its size in bytes.

        `seconds` is how long the answer may take to begin, and each piece of it to come.
        """
        trying = Trying(self._retries, repeatable=True)
        response = await self._sent(
            lambda: self._request("GET", path if path.startswith("/api/") else self._base + path, params=params),
            trying,
            stream=True,
            seconds=seconds,
        )
        size = 0
        try:
            await raise_for_problem(response)
            async with await anyio.open_file(file, "wb") as opened:
                async for piece in response.aiter_bytes(_PIECE):
                    size += len(piece)
                    await opened.write(piece)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        finally:
            await response.aclose()
        return size

    async def events(self, method: str, path: str, *, body: Json = None) -> AsyncIterator[ServerEvent]:
        """The server-sent events of an answer. One named `error` is raised as what it says.

        It is tried again only before the first event came; what reads the events says how to go on after that.
        """
        trying = Trying(self._retries, repeatable=method == "GET")
        while True:
            began = False
            response = await self._sent(
                lambda: self._request(method, self._base + path, body=body), trying, stream=True, seconds=math.inf
            )
            try:
                await raise_for_problem(response)
                async for event in server_events(response.aiter_bytes()):
                    began = True
                    if event.name == "error":
                        raise problem_error(cast("Mapping[str, Json]", parse_json(event.data, what="the server's error event")))
                    yield event
            except httpx.HTTPError as error:
                if began or not await trying.after_error(error):
                    raise self._unreachable(error) from error
            else:
                return
            finally:
                await response.aclose()

    async def _answer(
        self,
        method: str,
        path: str,
        *,
        body: Json = None,
        content: bytes | None = None,
        params: Params | None = None,
        if_match: str | None = None,
    ) -> httpx.Response:
        request = self._request(method, path, body=body, content=content, params=params)
        if method in _CHANGES and not self.in_process and not _ASKS.search(path):
            request.headers["idempotency-key"] = str(uuid4())
        if if_match is not None:
            request.headers["if-match"] = if_match
        response = await self._sent(lambda: request, Trying(self._retries, repeatable=True))
        await raise_for_problem(response)
        return response

    async def _sent(
        self, make: Callable[[], httpx.Request], trying: Trying, *, stream: bool = False, seconds: float | None = None
    ) -> httpx.Response:
        """The answer to a request, as soon as there is one that does not say "later"."""
        while True:
            request = make()
            silence = trying.remaining if seconds is None else None if seconds == math.inf else seconds
            request.extensions["timeout"] = httpx.Timeout(silence, connect=min(_CONNECT, trying.remaining)).as_dict()
            try:
                response = await self._http.send(request, stream=stream)
            except httpx.HTTPError as error:
                if not await trying.after_error(error):
                    raise self._unreachable(error) from error
                continue
            if not await trying.after_answer(response):
                return response
            await response.aclose()

    def _request(
        self, method: str, path: str, *, body: Json = None, content: bytes | None = None, params: Params | None = None
    ) -> httpx.Request:
        headers = {"content-type": "application/octet-stream"} if content is not None else {}
        if body is not None:
            content, headers = orjson.dumps(body), {"content-type": "application/json"}
        return self._http.build_request(method, path, content=content, headers=headers, params=_given(params))

    def _unreachable(self, error: httpx.HTTPError) -> Unavailable:
        reason = str(error) or type(error).__name__
        return Unavailable(
            f"the server does not answer: {reason}", where=self.where, hint="Is it running? Start one with: tidemill up"
        )


def _given(params: Params | None) -> dict[str, str | int | float | bool | Sequence[str]] | None:
    return {name: value for name, value in (params or {}).items() if value is not None} or None


def _json(answer: httpx.Response, method: str, path: str) -> Json:
    return parse_json(answer.content, what=f"the answer to {method} {path}") if answer.content else None


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(file, "rb") as opened:
        while piece := await opened.read(_PIECE):
            yield piece


def segment(text: str) -> str:
    """A value as one segment of a path."""
    return quote(text, safe="@:")


@asynccontextmanager
async def open_line(settings: Settings, *, retries: Retries | None = None) -> AsyncGenerator[Line]:
    """Connect to the server that `settings` lead to; without one, open the application in this process."""
    async with AsyncExitStack() as stack:
        target = await locate(settings)
        try:
            http = await stack.enter_async_context(_over_http(target) if target.url else _in_process(settings))
        except Conflict:  # another process took the folder in between
            target = await locate(settings)
            if target.url is None:
                raise
            http = await stack.enter_async_context(_over_http(target))
        where = target.url or str(settings.data)
        yield Line(http, project=settings.project, where=where, in_process=target.url is None, retries=retries)


@asynccontextmanager
async def _over_http(target: Target) -> AsyncGenerator[httpx.AsyncClient]:
    assert target.url is not None
    try:
        outside = not is_loopback(target.url)
        async with httpx.AsyncClient(base_url=target.url, headers=_authorization(target.token), trust_env=outside) as http:
            yield http
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise Invalid(f"{target.url!r} is not an address: {error}", hint="Write TIDEMILL_URL=http://host:port.") from error


@asynccontextmanager
async def _in_process(settings: Settings) -> AsyncGenerator[httpx.AsyncClient]:
    from tidemill.app import open_app  # noqa: PLC0415  (the whole platform; only when no server runs)

    async with open_app(settings) as app:
        headers = _authorization(settings.token or read_token(settings.data))
        transport = AppTransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=_IN_PROCESS, headers=headers) as http:
            yield http


def _authorization(token: str | None) -> dict[str, Any]:
    return {"authorization": f"Bearer {token}"} if token else {}
