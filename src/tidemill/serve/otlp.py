"""OTLP over HTTP: `POST /v1/traces`, `/v1/logs` and `/v1/metrics`, in protobuf or JSON, answered in kind.

https://opentelemetry.io/docs/specs/otlp/#otlphttp: 200 with `partial_success` where items were rejected; 400 for what can never
be taken; 429 and 503 with `Retry-After` for what should be sent again; errors as a `google.rpc.Status`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from tidemill.core.errors import BodyTimeout, TidemillError, TooLarge, UnsupportedMedia
from tidemill.core.unpacking import unpacker
from tidemill.serve.exchange import Exchange, Gone, Headers
from tidemill.serve.otlp_problems import Problem, problem_of, problem_of_crash
from tidemill.serve.problems import WrongMethod
from tidemill.store import denials
from tidemill.store.access import Principal
from tidemill.telemetry.intake import Intake
from tidemill.telemetry.otlp.answers import MEDIA, Form, Signal, Taken, encode_status, encode_taken
from tidemill.telemetry.room import Share

Authorize: TypeAlias = Callable[[Headers, Principal], Awaitable[str]]
"""From a request's headers and who sent it to the project that it is for. Raises `NotFound` or `Denied`."""

PATHS: Final[Mapping[str, Signal]] = {"/v1/traces": "traces", "/v1/logs": "logs", "/v1/metrics": "metrics"}
LARGEST_BODY: Final = 64 * 1024 * 1024
"""Bytes of one request, after it was unpacked."""
_WHOLE_SECONDS: Final = 120.0
_DRAINED: Final = 4 * LARGEST_BODY  # bytes that are read and dropped, so that the caller gets to read the refusal
_DRAIN_SECONDS: Final = 10.0
_FORMS: Final[Mapping[str, Form]] = {
    "application/x-protobuf": "protobuf",
    "application/protobuf": "protobuf",
    "application/json": "json",
}
_log = logging.getLogger(__name__)


class OtlpDoor:
    """Takes exports. `max_body` is the largest request in bytes, packed and unpacked; its body has `seconds` to arrive."""

    def __init__(
        self,
        intake: Intake,
        *,
        authenticate: Callable[[Headers], Awaitable[Principal]],
        authorize: Authorize,
        max_body: int = LARGEST_BODY,
        seconds: float = _WHOLE_SECONDS,
    ) -> None:
        self._intake = intake
        self._authenticate = authenticate
        self._authorize = authorize
        self._max_body = max_body
        self._seconds = seconds

    async def answer(self, exchange: Exchange) -> None:
        """Take one request and answer it. Raises `Gone` when the caller went away before the request was whole."""
        form: Form = "protobuf"
        try:
            if exchange.method != "POST":
                raise WrongMethod(f"{exchange.path} does not take {exchange.method}", hint="Use POST.")
            form = _form(exchange.headers)
            taken = await self._take(exchange, form)
        except Gone:
            raise
        except TidemillError as error:
            denials.refused(error)
            await self._refuse(exchange, problem_of(error), form)
        except Exception:  # noqa: BLE001  (the edge: a fault of ours is logged, and the sender tries again)
            _log.exception("%s %s failed", exchange.method, exchange.path)
            await self._refuse(exchange, problem_of_crash(), form)
        else:
            content = encode_taken(taken, signal=PATHS[exchange.path], form=form)
            await exchange.send(200, content, headers={"content-type": MEDIA[form]})

    async def _take(self, exchange: Exchange, form: Form) -> Taken:
        principal = await self._authenticate(exchange.headers)
        project = await self._authorize(exchange.headers, principal)
        with self._intake.share(project) as share:
            body = await self._read(exchange, share)
            return await self._intake.take(project, body, signal=PATHS[exchange.path], form=form)

    async def _read(self, exchange: Exchange, share: Share) -> bytes:
        """The body, unpacked; it takes its room in memory before it is there."""
        length = exchange.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._max_body:
            raise self._too_large(int(length))
        unpack = unpacker(exchange.headers.get("content-encoding", ""))
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                async for piece in exchange.pieces():
                    for part in (piece,) if unpack is None else unpack.feed(piece):
                        share.grow(len(part))
                        body += part
                        if len(body) > self._max_body:
                            raise self._too_large(len(body))
                        if unpack is not None:
                            await asyncio.sleep(0)
        except TimeoutError as error:
            raise BodyTimeout(f"the body did not arrive in {self._seconds:.0f} seconds", hint="Send it again.") from error
        if unpack is not None:
            unpack.check_complete()
        return bytes(body)

    async def _refuse(self, exchange: Exchange, problem: Problem, form: Form) -> None:
        headers = {"content-type": MEDIA[form]}
        if problem.retry_after is not None:
            headers["retry-after"] = str(max(1, round(problem.retry_after)))
        if problem.closes:
            headers["connection"] = "close"  # what is still on its way would be read as the next request
            await exchange.drain(limit=_DRAINED, seconds=min(_DRAIN_SECONDS, self._seconds))
        if problem.status == 405:
            headers["allow"] = "POST"
        content = encode_status(problem.code, problem.message, form=form, retry_after=problem.retry_after)
        await exchange.send(problem.status, content, headers=headers)

    def _too_large(self, size: int) -> TooLarge:
        return TooLarge(
            f"a request of {size:,} bytes or more is larger than {self._max_body:,}", hint="Export in smaller batches."
        )


def _form(headers: Headers) -> Form:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    form = _FORMS.get(kind)
    if form is None:
        raise UnsupportedMedia(
            f"a body of type {kind[:80]!r} is not taken", hint=f"Send {MEDIA['protobuf']} or {MEDIA['json']}."
        )
    return form
