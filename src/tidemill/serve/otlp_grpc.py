"""OTLP over gRPC: the services of traces, logs and metrics, on messages as bytes, so that both doors read them the same way.

https://opentelemetry.io/docs/specs/otlp/#otlpgrpc: RESOURCE_EXHAUSTED with `RetryInfo` and UNAVAILABLE are sent again by
exporters. The token is in the metadata `authorization` or `x-api-key`, the project in `x-tidemill-project`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from tidemill.core.errors import Conflict, Invalid, TidemillError
from tidemill.serve.exchange import Headers
from tidemill.serve.otlp import LARGEST_BODY, Authorize
from tidemill.serve.otlp_problems import Problem, problem_of, problem_of_crash
from tidemill.store import denials
from tidemill.store.access import Principal
from tidemill.store.denials import ATTEMPT, Attempt
from tidemill.telemetry.intake import Intake
from tidemill.telemetry.otlp.answers import Signal, Taken, encode_status, encode_taken

_SERVICES: Final[Mapping[str, Signal]] = {
    "opentelemetry.proto.collector.trace.v1.TraceService": "traces",
    "opentelemetry.proto.collector.logs.v1.LogsService": "logs",
    "opentelemetry.proto.collector.metrics.v1.MetricsService": "metrics",
}
_DENIED: Final = frozenset({401, 403})
_AT_ONCE: Final = 256
_DRAIN_SECONDS: Final = 30.0
_log = logging.getLogger(__name__)


class KeepDenied(Protocol):
    """Keeps an attempt that was denied, with the HTTP status that it would have had."""

    async def __call__(self, attempt: Attempt, *, route: str, status: int) -> None:
        """Return when it is kept or counted."""
        ...


class GrpcDoor:
    """Takes exports. `max_body` is the largest message in bytes, unpacked; `keep_denied` is given what was denied."""

    def __init__(
        self,
        intake: Intake,
        *,
        authenticate: Callable[[Headers], Awaitable[Principal]],
        authorize: Authorize,
        keep_denied: KeepDenied,
        max_body: int = LARGEST_BODY,
    ) -> None:
        self._intake = intake
        self._authenticate = authenticate
        self._authorize = authorize
        self._keep_denied = keep_denied
        self._max_body = max_body
        self._server: Any = None
        self._draining: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncGenerator[str]:
        """Listen for a block; gives the address, as in `127.0.0.1:4317`. Calls underway at its end are finished.

        Raises `Conflict` when the port is in use, `Invalid` when the address is not this machine's.
        """
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # our children are spawned; it would log at each of them
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what fails is told by us
        import grpc.aio  # noqa: PLC0415  (only a server needs it)  # pyright: ignore[reportMissingTypeStubs]

        _check_free(host, port)
        options = [
            ("grpc.max_receive_message_length", self._max_body),
            ("grpc.so_reuseport", 0),
        ]
        made = grpc.aio.server(options=options, maximum_concurrent_rpcs=_AT_ONCE)  # pyright: ignore[reportUnknownMemberType]
        server: Any = made
        server.add_generic_rpc_handlers([self._handlers(grpc, name, signal) for name, signal in _SERVICES.items()])
        named = f"[{host}]" if ":" in host else host
        try:
            bound = server.add_insecure_port(f"{named}:{port}")
        except RuntimeError as error:
            raise _in_use(host, port) from error
        await server.start()
        self._server = server
        try:
            yield f"{named}:{bound}"
        finally:
            self.drain()
            if self._draining is not None:
                await self._draining

    def drain(self) -> None:
        """Take no further call and finish those underway, in the background; the end of `listening` waits for it."""
        if self._server is not None and self._draining is None:
            self._draining = asyncio.create_task(self._server.stop(_DRAIN_SECONDS), name="gRPC drain")

    def _handlers(self, grpc: Any, name: str, signal: Signal) -> Any:
        async def export(body: bytes, context: Any) -> bytes:
            return await self._export(body, context, signal, grpc)

        return grpc.method_handlers_generic_handler(name, {"Export": grpc.unary_unary_rpc_method_handler(export)})

    async def _export(self, body: bytes, context: Any, signal: Signal, grpc: Any) -> bytes:
        attempt = Attempt()
        ATTEMPT.set(attempt)  # each call has a context of its own
        try:
            taken = await self._take(body, _headers(context), signal)
        except TidemillError as error:
            problem = problem_of(error)
            denials.refused(error)
            if problem.status in _DENIED or attempt.is_hidden:
                await self._keep_denied(attempt, route=f"gRPC {signal}", status=problem.status)
        except Exception:  # noqa: BLE001  (the edge: a fault of ours is logged, and the sender tries again)
            _log.exception("an export of %s over gRPC failed", signal)
            problem = problem_of_crash()
        else:
            return encode_taken(taken, signal=signal, form="protobuf")
        return await _abort(context, problem, grpc)

    async def _take(self, body: bytes, headers: Headers, signal: Signal) -> Taken:
        principal = await self._authenticate(headers)
        project = await self._authorize(headers, principal)
        with self._intake.share(project) as share:
            share.grow(len(body))
            return await self._intake.take(project, body, signal=signal, form="protobuf")


async def _abort(context: Any, problem: Problem, grpc: Any) -> bytes:
    """End the call with a status; raises."""
    code = next(each for each in grpc.StatusCode if each.value[0] == problem.code)
    detail = encode_status(problem.code, problem.message, form="protobuf", retry_after=problem.retry_after)
    return await context.abort(code, problem.message, trailing_metadata=(("grpc-status-details-bin", detail),))


def _headers(context: Any) -> Headers:
    return {key.lower(): value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def _check_free(host: str, port: int) -> None:
    """Ask the system first: it says why not, and gRPC would only log it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise _in_use(host, port) from error
            raise Invalid(f"cannot listen on {host}:{port}: {error.strerror}", hint="Check --host and the port.") from error


def _in_use(host: str, port: int) -> Conflict:
    return Conflict(
        f"port {port} on {host} is in use", hint="Choose another for OTLP over gRPC with --otlp-grpc-port; 0 picks a free one."
    )
