"""The way of a task through the data plane: who asks, which model, where it is traced, and the provider's own bytes back."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from tidemill.core.clock import Clock
from tidemill.core.errors import Invalid, TidemillError
from tidemill.core.json import JsonObject
from tidemill.models.answered import Answered
from tidemill.models.routing.spec import answers_as
from tidemill.models.service import Models
from tidemill.serve.asking import caller_of
from tidemill.serve.dialects.dialect import Head
from tidemill.serve.dialects.task import Asked, Task, TaskCall, Unspoken
from tidemill.serve.exchange import Exchange, Gone
from tidemill.serve.guarded import verdict_of
from tidemill.serve.problems import Refusal, from_run
from tidemill.serve.resolve import Resolver, Target
from tidemill.store.access import Principal
from tidemill.telemetry.recorder import Recorder, Span

_NO_BYTES: Final = b""
_NOTHING: Final[Mapping[str, str]] = {}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskDoor:
    """Answers tasks. `environment` is the server's, for what no endpoint places elsewhere."""

    models: Models
    resolver: Resolver
    recorder: Recorder
    environment: str
    clock: Clock

    async def answer(self, exchange: Exchange, task: Task, *, principal: Principal, project: str) -> None:
        """Answer one task, and trace it. What the caller cannot be given is refused in the dialect's own shape."""
        call = task.read(await exchange.read(limit=task.largest), exchange.headers)
        target = await self.resolver.resolve(call.model, project=project, principal=principal, kinds=task.kinds)
        model = target.bundle.root
        if model.kind not in task.kinds:
            wanted = " or ".join(sorted(task.kinds))
            said = f"{model.bare} does not answer {task.operation}"
            raise Invalid(said, where="model", hint=f"Name a {wanted}, or an endpoint of one.")
        caller = caller_of(
            exchange.headers, principal=principal, project=project, environment=target.environment or self.environment,
            endpoint=target.endpoint, user=call.user, now=self.clock.monotonic(),
        )  # fmt: skip
        span = self._trace(exchange, task, call, target, project)
        head = Head(
            id=f"{span.trace_id}{span.span_id}", trace=span.trace_id, model=call.model, release=target.bundle.release,
            created=self.clock.now_ns() // 10**9,
        )  # fmt: skip
        asked = Asked(call=call, model=model, models=self.models, caller=caller, span=span, head=head)
        headers = {"x-tidemill-release": head.release, "x-tidemill-trace": head.trace, "x-tidemill-cache": "off"}
        try:
            with span:
                await exchange.until_gone(_answer(exchange, task, asked, headers))
        except Gone:
            raise
        except TidemillError as error:
            await _refuse(exchange, task.errors.refusal(error), {**headers, **_standing(asked), **verdict_of(error)})
        except Exception:  # noqa: BLE001  (the edge: a fault of ours is logged, and the caller gets an answer)
            _log.exception("the request with trace %s failed", head.trace)
            await _refuse(exchange, task.errors.crash(trace=head.trace), headers)

    def _trace(self, exchange: Exchange, task: Task, call: TaskCall, target: Target, project: str) -> Span:
        headers = exchange.headers
        return self.recorder.trace(
            target.endpoint or target.bundle.root.name,
            kind=task.span,
            project=project,
            release=target.bundle.release,
            endpoint=target.endpoint,
            user=headers.get("x-tidemill-user") or call.user,
            session=headers.get("x-tidemill-session"),
            tags=[tag for each in headers.get("x-tidemill-tags", "").split(",") if (tag := each.strip())],
            traceparent=headers.get("traceparent"),
            input=call.shown,
        )


async def _answer(exchange: Exchange, task: Task, asked: Asked, headers: Mapping[str, str]) -> None:
    here = task.here.get(answers_as(asked.model))
    raw = asked.call.raw
    try:
        if here is not None:
            await _send(exchange, asked, await here(asked), headers)
            return
        answered = await asked.models.begin(
            asked.model, None, caller=asked.caller, span=asked.span, stream=raw.stream, raw=raw, operation=task.operation,
            at_door=True,
        )  # fmt: skip
    except Unspoken:
        if task.otherwise is None:
            raise
        await _send(exchange, asked, await task.otherwise(asked), headers)
        return
    except TidemillError as error:
        raise from_run(error) from error
    await _pass_on(exchange, asked, answered, headers, stream=raw.stream)


async def _send(exchange: Exchange, asked: Asked, body: JsonObject, headers: Mapping[str, str]) -> None:
    asked.span.end()  # before the caller can ask for the trace
    await exchange.send_json(200, body, headers={**headers, **asked.notes, **_standing(asked)})


async def _pass_on(exchange: Exchange, asked: Asked, answered: Answered, headers: Mapping[str, str], *, stream: bool) -> None:
    """The provider's own bytes: as they come, or whole with what they cost."""
    head = {**answered.headers, **headers, **answered.notes}
    held: list[bytes] = []
    async with aclosing(answered.pieces()) as pieces:
        async for piece in pieces:
            if not stream:
                held.append(piece)
                continue
            if not exchange.has_started:
                await exchange.start(200, headers={**head, **_standing(asked)})
            await exchange.send_events(piece)
    asked.span.end()
    if stream:
        await exchange.send_events(_NO_BYTES, last=True)
        return
    cost = answered.result.cost
    priced = {} if cost is None else {"x-tidemill-cost": f"{cost:.10f}".rstrip("0").rstrip(".")}
    await exchange.send(200, b"".join(held), headers={**head, **priced, **_standing(asked)})


def _standing(asked: Asked) -> Mapping[str, str]:
    """How the caller's limits stand, as headers."""
    limiter = asked.models.limiter
    return _NOTHING if limiter is None else limiter.headers_for(asked.caller)


async def _refuse(exchange: Exchange, refusal: Refusal, headers: Mapping[str, str]) -> None:
    """Send an error; a stream that has begun can only be broken off."""
    if exchange.has_started:
        raise Gone("the answer broke off after it had begun")
    retry = {} if refusal.retry_after is None else {"retry-after": str(max(1, math.ceil(refusal.retry_after)))}
    await exchange.send_json(refusal.status, refusal.body, headers={**headers, **retry})
