"""Runs: ask an application once, whole or as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from fastapi.responses import Response
from pydantic import Field

from tidemill.api.caller import AnyCaller, Body
from tidemill.api.events import Event, event_stream
from tidemill.api.problems import problem_body
from tidemill.api.releases import lock_bundle
from tidemill.api.router import Router
from tidemill.api.secrets import check_secrets, environment_of
from tidemill.core.errors import NotFound, TidemillError
from tidemill.core.records import Bundle
from tidemill.flows.run import RunContext, RunResult
from tidemill.models.caller import Caller as Asking
from tidemill.telemetry.recorder import Span

router = Router(tags=["runs"])


class RunRequest(Body):
    """What to run (`chain/x`, `agent/x@production`, a release digest) on which inputs.

    `environment` is whose connections are used, else the server's.
    """

    app: str
    inputs: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    stream: bool = False
    reuse: bool = False
    environment: str | None = None


@router.post("/runs", response_model=None)
async def run(call: AnyCaller, body: RunRequest) -> Response | dict[str, Any]:
    """Run once. With `stream`, server-sent events: `delta` as text arrives, then `result`, or `error`.

    Closing the stream stops the run, so one that broke is not taken up again; its trace, which every event's id begins with,
    says how far it came.
    """
    bundle = await lock_bundle(call, body.app)
    environment = await environment_of(call, body.environment)
    await check_secrets(call, bundle.versions.values(), environment=environment)
    span = _start(call, bundle, body)
    context = RunContext(
        project=call.project, environment=environment, span=span, reuse=body.reuse, caller=_asking(call, environment)
    )
    if body.stream:
        return event_stream(_events(call, bundle, body, context))
    with span:
        result = await call.platform.runner.run(bundle, body.inputs, context=context)
        span.set(output=result.output)
    return _result_json(bundle, span, result)


def _asking(call: AnyCaller, environment: str) -> Asking:
    """Whose limits the run's models are asked under."""
    principal = call.principal
    key = principal.key_id if principal.is_key else None
    return Asking(project=call.project, environment=environment, key=key, team=principal.team)


@router.get("/runs/{run_id}")
async def get_run(call: AnyCaller, run_id: str) -> dict[str, Any]:
    """A run is known by its trace."""
    await call.platform.telemetry.flush()
    trace = await call.platform.telemetry.get_trace(call.project, run_id)
    if not trace["spans"]:
        raise NotFound(f"run {run_id} does not exist", hint="See tidemill traces list.")
    return {"id": trace["id"], "output": trace["output"], "release": trace["release"], "trace": trace}


async def _events(call: AnyCaller, bundle: Bundle, body: RunRequest, context: RunContext) -> AsyncGenerator[Event]:
    stream, sent = call.platform.runner.stream(bundle, body.inputs, context=context), 0
    try:
        with context.span:
            async for delta in stream:
                if delta.text:
                    sent += 1
                    yield Event(id=f"{context.span.trace_id}.{sent}", name="delta", data={"text": delta.text})
            context.span.set(output=stream.result.output)
        last = f"{context.span.trace_id}.{sent + 1}"
        yield Event(id=last, name="result", data=_result_json(bundle, context.span, stream.result))
    except TidemillError as error:
        yield Event(id=f"{context.span.trace_id}.{sent + 1}", name="error", data=problem_body(error))
    finally:
        await stream.aclose()


def _start(call: AnyCaller, bundle: Bundle, body: RunRequest) -> Span:
    kind = "agent" if bundle.root.kind == "agent" else "chain"
    return call.platform.recorder.trace(
        bundle.root.name, kind=kind, project=call.project, release=bundle.release, input=body.inputs
    )


def _result_json(bundle: Bundle, span: Span, result: RunResult) -> dict[str, Any]:
    return {
        "id": span.trace_id,
        "trace": span.trace_id,
        "release": bundle.release,
        "output": result.output,
        "steps": {
            name: {"output": step.output, "reused": step.reused, "latency_ms": step.latency_ms}
            for name, step in result.steps.items()
        },
        "usage": {"input_tokens": result.usage.input_tokens, "output_tokens": result.usage.output_tokens},
        "cost": result.cost,
        "latency_ms": result.latency_ms,
    }
