"""The data plane: the doors of `serve/dialects/`, `GET /v1/models`, and the telemetry of `otlp.py`, as raw ASGI.

For an endpoint, chain, prompt or agent, sampling parameters of the request (`temperature`, `max_tokens` and their like) are
not used: how it samples belongs to the release. For `model/NAME` they win over the model's own.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Final, TypeAlias
from urllib.parse import unquote

from tidemill.core.chat import ChatDelta
from tidemill.core.clock import Clock, Ids, SystemClock
from tidemill.core.errors import Denied, NotFound, TidemillError
from tidemill.core.json import JsonObject
from tidemill.core.refs import check_name
from tidemill.flows.run import Runner
from tidemill.models.answered import Answered
from tidemill.models.caller import Caller
from tidemill.models.calls import RawRequest
from tidemill.models.checks.guardrail import Blocked
from tidemill.models.checks.screen import HEADER
from tidemill.models.service import Models
from tidemill.serve.answering import SPAN_KINDS, Answering, Question, of_model, of_refusal, prepare
from tidemill.serve.asking import EXTENDED, caller_of, raw_request
from tidemill.serve.body import read_body
from tidemill.serve.chat_request import ChatCall
from tidemill.serve.chat_response import Answer
from tidemill.serve.dialects.dialect import ChatDialect, Head, Writer
from tidemill.serve.dialects.doors import CHAT_DIALECTS, TASKS, errors_of, nothing_at
from tidemill.serve.dialects.models_list import model_entry, model_list
from tidemill.serve.endpoints import LiveEndpoints
from tidemill.serve.exchange import Exchange, Gone, Headers, Receive, Scope, Send
from tidemill.serve.guarded import verdict_of
from tidemill.serve.otlp import PATHS as OTLP_PATHS
from tidemill.serve.otlp import OtlpDoor
from tidemill.serve.pings import Pings, Silence
from tidemill.serve.problems import Refusal, WrongMethod
from tidemill.serve.resolve import Resolver, Target
from tidemill.serve.rollout import asker_of
from tidemill.serve.tasks import TaskDoor
from tidemill.store import denials
from tidemill.store.access import Principal
from tidemill.store.database import Database
from tidemill.telemetry import genai
from tidemill.telemetry.recorder import Recorder, Span

Authenticate: TypeAlias = Callable[[Headers], Awaitable[Principal]]
"""From a request's headers (names in lower case) to who sent it. Raises `Unauthenticated`."""

_NOTHING: Final[Mapping[str, str]] = {}
_LARGEST_BODY: Final = 16 * 2**20
_log = logging.getLogger(__name__)


class DataPlane:
    """An ASGI application. `max_body` is the largest request, in bytes; `silence` is how long a stream may say nothing."""

    def __init__(  # noqa: PLR0913  (the parts that a request meets)
        self,
        *,
        authenticate: Authenticate,
        runner: Runner,
        models: Models,
        database: Database,
        recorder: Recorder,
        environment: str,
        endpoints: LiveEndpoints,
        clock: Clock | None = None,
        ids: Ids | None = None,
        max_body: int = _LARGEST_BODY,
        otlp: OtlpDoor | None = None,
        silence: Silence = Silence(),  # noqa: B008  (frozen)
    ) -> None:
        self._otlp = otlp
        self._silence = silence
        self._authenticate = authenticate
        self._models_here = models
        self._answering = Answering(models=models, runner=runner)
        self._resolver = Resolver(database=database, live=endpoints)
        self._recorder = recorder
        self._environment = environment
        self._clock = clock or SystemClock()
        self._ids = ids or Ids(clock=self._clock)
        self._max_body = max_body
        self._tasks = TaskDoor(
            models=models, resolver=self._resolver, recorder=recorder, environment=environment, clock=self._clock
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        try:
            await self._route(exchange)
        except Gone:
            return
        except TidemillError as error:
            denials.refused(error)
            await _refuse(exchange, errors_of(exchange.path).refusal(error))
        except Exception:  # noqa: BLE001  (the edge: a fault of ours is logged, and the caller gets an answer)
            _log.exception("%s %s failed", exchange.method, exchange.path)
            await _refuse(exchange, errors_of(exchange.path).crash(trace=None))

    async def _route(self, exchange: Exchange) -> None:
        path = exchange.path
        if (dialect := CHAT_DIALECTS.get(path)) is not None:
            _need(exchange, "POST")
            await self._chat(exchange, dialect)
        elif (task := TASKS.get(path)) is not None:
            _need(exchange, "POST")
            principal = await self._authenticate(exchange.headers)
            project = _project(exchange.headers, principal)
            await self._tasks.answer(exchange, task, principal=principal, project=project)
        elif path in OTLP_PATHS and self._otlp is not None:
            await self._otlp.answer(exchange)
        elif path == "/v1/models":
            _need(exchange, "GET")
            await self._list_models(exchange)
        elif path.startswith("/v1/models/"):
            _need(exchange, "GET")
            await self._show_model(exchange, unquote(path.removeprefix("/v1/models/")))
        else:
            raise nothing_at(path)

    async def _chat(self, exchange: Exchange, dialect: ChatDialect) -> None:
        headers = exchange.headers
        principal = await self._authenticate(headers)
        project = _project(headers, principal)
        content = await exchange.read(limit=self._max_body)
        body = read_body(content)
        call = dialect.read(body)
        target = await self._resolver.resolve(call.model, project=project, principal=principal)
        if target.split is not None:
            target = target.decided(self._asker(headers, call))
        caller = caller_of(
            headers, principal=principal, project=project, environment=target.environment or self._environment,
            endpoint=target.endpoint, user=call.user, now=self._clock.monotonic(),
        )  # fmt: skip
        raw = None if EXTENDED in headers else raw_request(dialect.name, content, body, headers=headers, call=call)
        question = self._prepared(headers, call, target, caller, raw)
        span = self._trace(headers, question, target)
        said = _said(target, span)
        head = Head(
            id=f"{span.trace_id}{span.span_id}", trace=span.trace_id, model=call.model,
            release=target.bundle.release, created=self._clock.now_ns() // 10**9,
        )  # fmt: skip
        writer = dialect.writer(head, call)
        answer = self._model if question.is_model else self._stream if call.stream else self._answer
        pings = Pings(exchange, self._silence, dialect=dialect.name, headers=said) if call.stream else None
        try:
            with span:
                await exchange.until_gone(answer(exchange, question, span, writer=writer, headers=said))
        except TidemillError as error:
            told = {**said, **self._standing(caller), **verdict_of(error)}
            await _refuse(exchange, dialect.refusal(error), headers=told, writer=writer)
        except Gone:
            raise
        except Exception:  # noqa: BLE001  (the same, with the trace)
            _log.exception("the request with trace %s failed", span.trace_id)
            await _refuse(exchange, dialect.crash(trace=span.trace_id), headers=said, writer=writer)
        finally:
            if pings is not None:
                pings.end()

    def _prepared(self, headers: Headers, call: ChatCall, target: Target, caller: Caller, raw: RawRequest | None) -> Question:
        """`prepare`; while a rollout runs, a refusal is traced too: a canary that takes no question has failed."""
        try:
            return prepare(target.bundle, call, caller=caller, raw=raw)
        except TidemillError as error:
            if target.variant is not None:
                asked = Question(bundle=target.bundle, call=call, inputs={}, caller=caller)
                span = self._trace(headers, asked, target)
                span.set(error=error.message)
                span.end()
            raise

    async def _model(
        self, exchange: Exchange, question: Question, span: Span, *, writer: Writer, headers: dict[str, str]
    ) -> None:
        """A model's answer: its provider's own bytes where they can be passed on, else what was read, written anew."""
        try:
            begun = await self._answering.begin(question, span)
        except Blocked as blocked:
            await _say(exchange, of_refusal(blocked, span), span, writer=writer, headers=headers, stream=question.call.stream)
            return
        async with aclosing(begun) as answered:
            headers.update(answered.notes)
            if not question.call.stream:
                await _send_whole(exchange, answered, span, writer=writer, headers=headers)
            elif answered.is_raw:
                await _pass_on(exchange, answered.pieces(), span, headers={**answered.headers, **headers})
            else:
                source = self._answering.stream_model(answered)
                await _write(exchange, source, span, writer=writer, headers=headers, also=lambda: answered.notes)

    async def _answer(
        self, exchange: Exchange, question: Question, span: Span, *, writer: Writer, headers: dict[str, str]
    ) -> None:
        answer = await self._answering.ask(question, span)
        headers.update(self._standing(question.caller))
        headers.update(question.notes)
        span.end()  # before the caller can ask for the trace
        await exchange.send_json(200, writer.whole(answer), headers={**headers, **_cost(answer.cost)})

    async def _stream(
        self, exchange: Exchange, question: Question, span: Span, *, writer: Writer, headers: dict[str, str]
    ) -> None:
        source = self._answering.stream(question, span)
        await _write(
            exchange,
            source,
            span,
            writer=writer,
            headers=headers,
            also=lambda: {**self._standing(question.caller), **question.notes},
        )

    def _standing(self, caller: Caller) -> Mapping[str, str]:
        """How the caller's limits stand, as headers."""
        limiter = self._models_here.limiter
        return _NOTHING if limiter is None else limiter.headers_for(caller)

    def _trace(self, headers: Headers, question: Question, target: Target) -> Span:
        root = target.bundle.root
        return self._recorder.trace(
            target.endpoint or root.name,
            kind=SPAN_KINDS[root.kind],
            project=question.caller.project,
            release=target.bundle.release,
            endpoint=target.endpoint,
            user=question.caller.user,
            session=question.caller.session,
            tags=[tag for each in tags.split(",") if (tag := each.strip())] if (tags := headers.get("x-tidemill-tags")) else (),
            traceparent=headers.get("traceparent"),
            input=question.shown,
            attributes=_split_attributes(target),
        )

    def _asker(self, headers: Headers, call: ChatCall) -> str:
        user = headers.get("x-tidemill-user") or call.user
        return asker_of(user=user, session=headers.get("x-tidemill-session"), request=self._ids.span)

    async def _list_models(self, exchange: Exchange) -> None:
        models = await self._models(exchange)
        await exchange.send_json(200, model_list(models), headers={})

    async def _show_model(self, exchange: Exchange, name: str) -> None:
        models = await self._models(exchange)
        wanted = name if "/" in name else f"endpoint/{name}"
        for each in models:
            if each["id"] == wanted:
                await exchange.send_json(200, each, headers={})
                return
        raise NotFound(f"there is no model {name!r}", hint="See GET /v1/models.", where="model")

    async def _models(self, exchange: Exchange) -> list[JsonObject]:
        principal = await self._authenticate(exchange.headers)
        project = _project(exchange.headers, principal)
        names = await self._resolver.names(project=project, principal=principal)
        return [model_entry(name, created=created, project=project) for name, created in names]


async def _refuse(
    exchange: Exchange, refusal: Refusal, *, headers: Mapping[str, str] | None = None, writer: Writer | None = None
) -> None:
    """Send an error: as a response, or as the last event of a stream that has begun."""
    if exchange.has_started:
        begun = b"" if writer is None or exchange.sent else writer.begin()  # a ping has opened it, and nothing else
        await exchange.send_events(b"" if writer is None else begun + writer.broken(refusal), last=True)
        return
    retry = {} if refusal.retry_after is None else {"retry-after": str(max(1, math.ceil(refusal.retry_after)))}
    await exchange.send_json(refusal.status, refusal.body, headers={**(headers or {}), **retry})


async def _write(
    exchange: Exchange,
    source: AsyncGenerator[ChatDelta | Answer],
    span: Span,
    *,
    writer: Writer,
    headers: Mapping[str, str],
    also: Callable[[], Mapping[str, str]] = dict,
) -> None:
    """Nothing is sent before the first piece is there, so that a failure until then has its own status.

    `also` is asked then for more headers.
    """
    has_begun = False
    async with aclosing(source) as pieces:
        async for piece in pieces:
            if not has_begun:
                has_begun = True
                await exchange.start_events(headers={**headers, **also()})
                await exchange.send_events(writer.begin())
            if isinstance(piece, ChatDelta):
                await exchange.send_events(writer.piece(piece))
            else:
                span.end()  # before the caller can ask for the trace
                await exchange.send_events(writer.end(piece), last=True)


async def _say(
    exchange: Exchange, answer: Answer, span: Span, *, writer: Writer, headers: Mapping[str, str], stream: bool
) -> None:
    """Send what a guardrail says in place of an answer."""
    headers = {**headers, HEADER: ", ".join(f"{name}={verdict}" for name, verdict in answer.guardrails.items())}
    span.end()
    if not stream:
        await exchange.send_json(200, writer.whole(answer), headers={**headers, **_cost(answer.cost)})
        return
    await exchange.start_events(headers=headers)
    await exchange.send_events(writer.begin() + writer.piece(ChatDelta(text=answer.text)))
    await exchange.send_events(writer.end(answer), last=True)


async def _send_whole(
    exchange: Exchange, answered: Answered, span: Span, *, writer: Writer, headers: Mapping[str, str]
) -> None:
    """Send a model's whole answer: its provider's bytes, or what was read of them, written anew."""
    if answered.is_raw:
        content = b"".join([piece async for piece in answered.pieces()])
        span.end()  # before the caller can ask for the trace
        await exchange.send(200, content, headers={**answered.headers, **headers, **_cost(answered.result.cost)})
        return
    answer = of_model(answered.result)
    span.end()
    await exchange.send_json(200, writer.whole(answer), headers={**headers, **_cost(answer.cost)})


async def _pass_on(exchange: Exchange, source: AsyncGenerator[bytes], span: Span, *, headers: Mapping[str, str]) -> None:
    """Send the provider's bytes as they come."""
    async with aclosing(source) as pieces:
        await exchange.start_events(headers=headers)
        async for piece in pieces:
            await exchange.send_events(piece)
    span.end()
    await exchange.send_events(b"", last=True)


def _cost(cost: float | None) -> Mapping[str, str]:
    """What an answer cost in US dollars, where that is known."""
    return {} if cost is None else {"x-tidemill-cost": f"{cost:.10f}".rstrip("0").rstrip(".")}


def _split_attributes(target: Target) -> JsonObject | None:
    """What a span says of the rollout that it was part of."""
    if target.split is None or target.variant is None:
        return None
    return {genai.VARIANT: target.variant, genai.ROLLOUT: target.split.rollout}


def _need(exchange: Exchange, method: str) -> None:
    if exchange.method != method:
        raise WrongMethod(f"{exchange.path} does not take {exchange.method}", hint=f"Use {method}.")


def _said(target: Target, span: Span) -> dict[str, str]:
    """The headers that every answer has."""
    said = {"x-tidemill-release": target.bundle.release, "x-tidemill-trace": span.trace_id, "x-tidemill-cache": "off"}
    if target.variant is not None:
        said["x-tidemill-variant"] = target.variant
    return said


def _project(headers: Headers, principal: Principal) -> str:
    """The project asked for, else the key's, else `default`. Somebody else's is answered as one that is not there."""
    named = headers.get("x-tidemill-project")
    if principal.is_key and principal.standing is None and principal.project and named in (None, principal.project):
        _may_read(principal)
        return principal.project
    project = check_name(named or principal.project or "default", what="project")
    try:
        here = principal.within(project)
    except NotFound as error:
        denials.refused(error, target=f"project/{project}", hidden=True)
        raise
    _may_read(here)
    return project


def _may_read(principal: Principal) -> None:
    decision = principal.decide("read")
    if not decision.allowed:
        raise Denied(f"{principal.who} may not call what answers here: {decision.why}", hint="Ask for a key that may read.")
