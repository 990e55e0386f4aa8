"""`AsyncClient`: one method a use case."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, cast

import anyio
import orjson

from tidemill.client import shapes
from tidemill.client.access import AccessCalls
from tidemill.client.artifacts import ArtifactCalls
from tidemill.client.catalogue import CatalogueCalls
from tidemill.client.connect import open_line, segment
from tidemill.client.environments import EnvironmentCalls
from tidemill.client.events import ServerEvent
from tidemill.client.evidence import EvidenceCalls
from tidemill.client.feedback import FeedbackCalls
from tidemill.client.files import Collected, collect
from tidemill.client.govern import GovernCalls
from tidemill.client.maturity import MaturityCalls
from tidemill.client.monitors import MonitorCalls
from tidemill.client.pipelines import PipelineCalls
from tidemill.client.rollouts import RolloutCalls
from tidemill.client.tune import TuneCalls
from tidemill.client.upload import upload
from tidemill.core.errors import TidemillError, Unavailable, error_from_code
from tidemill.core.json import Json, JsonObject
from tidemill.core.refs import Ref, parse_ref
from tidemill.core.settings import Settings, load_settings

_ENDED = frozenset({"done", "failed", "cancelled"})
_POLL = 0.5


class AsyncClient(
    AccessCalls,
    ArtifactCalls,
    CatalogueCalls,
    EnvironmentCalls,
    EvidenceCalls,
    MaturityCalls,
    FeedbackCalls,
    GovernCalls,
    PipelineCalls,
    RolloutCalls,
    MonitorCalls,
    TuneCalls,
):
    """The control plane of one project, as coroutines. Use it as `async with AsyncClient() as client:`.

    It talks to the server at `url` (else `TIDEMILL_URL`, else the one that holds the data folder) and, when there is none,
    opens the data folder in this process. Every method raises a `TidemillError` that says what was wrong.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        token: str | None = None,
        project: str | None = None,
        data: Path | None = None,
        settings: Settings | None = None,
    ) -> None:
        base = settings or load_settings(Path.cwd(), data=data, project=project)
        self.settings = replace(base, url=url or base.url, token=token or base.token)
        self._stack = AsyncExitStack()
        super().__init__()

    async def __aenter__(self) -> Self:
        self._opened = await self._stack.enter_async_context(open_line(self.settings))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._opened = None
        await self._stack.__aexit__(exc_type, exc_value, traceback)

    @property
    def in_process(self) -> bool:
        """Whether the application runs in this process, so that its jobs stop when the client is closed."""
        return self._line.in_process

    @property
    def address(self) -> str:
        """The server's address; the data folder when the application runs in this process."""
        return self._line.where

    # Artifacts and plans

    async def plan(self, collected: Collected | None = None) -> shapes.Plan:
        """What an apply of these files (default: the project's) would change."""
        return cast("shapes.Plan", await self._send_files("/plan", collected))

    async def apply(
        self,
        collected: Collected | None = None,
        *,
        expected: str | None = None,
        overwrite: bool = False,
        whole: bool = True,
    ) -> shapes.Applied:
        """Apply these files (default: the project's): all of them or none. Builds that it starts are in `jobs`.

        Raises `Conflict` when the registry was changed by another door since they were applied, unless `overwrite`; and with
        `expected`, the digest of a plan, when it would do anything else. `whole` says that they are all of the project's files.
        """
        more: JsonObject = {"expected": expected, "overwrite": overwrite, "whole": whole}
        return cast("shapes.Applied", await self._send_files("/apply", collected, more))

    async def artifacts(
        self,
        *,
        kind: str | None = None,
        q: str | None = None,
        tags: Mapping[str, str] | None = None,
        owner: str | None = None,
        limit: int | None = None,
    ) -> Sequence[shapes.VersionJson]:
        """The latest version of every artifact, of one kind or of all; `q` finds words in names, descriptions and tags."""
        wanted = [f"{key}={value}" for key, value in (tags or {}).items()] or None
        params = {"kind": kind, "q": q, "tag": wanted, "owner": owner}
        return await self._list("/artifacts", shapes.VersionJson, params=params, limit=limit)

    async def artifact(self, ref: str) -> shapes.VersionJson:
        """One version: the one that `ref` names, else the latest."""
        parsed = parse_ref(ref)
        tail = f"/versions/{segment(parsed.version)}" if parsed.version else ""
        return cast("shapes.VersionJson", await self._line.send("GET", _artifact_path(parsed) + tail))

    async def versions(self, ref: str, *, limit: int | None = None) -> Sequence[shapes.VersionJson]:
        """Every version of an artifact, newest first."""
        return await self._list(f"{_artifact_path(parse_ref(ref))}/versions", shapes.VersionJson, limit=limit)

    async def set_alias(self, ref: str, alias: str, *, why: str = "", expected: str | None = None) -> JsonObject:
        """Move an alias to the version that `ref` names; with `expected`, only when it still points there."""
        parsed = parse_ref(ref)
        body = {"version": parsed.version or "latest", "why": why, **({"expected": expected} if expected else {})}
        return cast("JsonObject", await self._line.send("PUT", f"{_artifact_path(parsed)}/aliases/{segment(alias)}", body=body))

    async def make_release(self, root: str) -> shapes.ReleaseJson:
        """Lock an app with everything that it needs; the same content gives the same release."""
        return cast("shapes.ReleaseJson", await self._line.send("POST", "/releases", body={"root": root}))

    async def release(self, digest: str) -> shapes.ReleaseJson:
        """A release by its digest."""
        return cast("shapes.ReleaseJson", await self._line.send("GET", f"/releases/{segment(digest)}"))

    async def release_diff(self, a: str, b: str) -> JsonObject:
        """What differs between two releases."""
        return cast("JsonObject", await self._line.send("GET", f"/releases/{segment(a)}/diff/{segment(b)}"))

    # Runs

    async def run(self, app: str, inputs: JsonObject, *, environment: str | None = None) -> shapes.RunJson:
        """Run an app or a release once, through the connections of `environment` (default: the server's)."""
        body: JsonObject = {"app": app, "inputs": inputs, "environment": environment}
        return cast("shapes.RunJson", await self._line.send("POST", "/runs", body=body))

    async def stream_run(self, app: str, inputs: JsonObject, *, environment: str | None = None) -> AsyncIterator[ServerEvent]:
        """Run an app and yield the server's events as they come: pieces of text, then the run."""
        body: JsonObject = {"app": app, "inputs": inputs, "stream": True, "environment": environment}
        async for event in self._line.events("POST", "/runs", body=body):
            yield event

    # Evaluations

    async def start_evaluation(
        self,
        app: str,
        *,
        data: str,
        scorers: Sequence[str] = (),
        n: int = 1,
        limit: int | None = None,
        environment: str | None = None,
    ) -> tuple[str, str]:
        """Start an evaluation; the ids of the evaluation and of its job."""
        body: JsonObject = {
            "app": app, "data": data, "scorers": list(scorers), "n": n, "limit": limit, "environment": environment,
        }  # fmt: skip
        started = cast("Mapping[str, str]", await self._line.send("POST", "/evaluations", body=body))
        return started["evaluation"], started["job"]

    async def evaluate(
        self,
        app: str,
        *,
        data: str,
        scorers: Sequence[str] = (),
        n: int = 1,
        limit: int | None = None,
        environment: str | None = None,
    ) -> shapes.EvaluationJson:
        """Evaluate an app or release on a dataset and wait for the result.

        Its models are reached through the connections of `environment` (default: the server's).
        """
        evaluation, job = await self.start_evaluation(
            app, data=data, scorers=scorers, n=n, limit=limit, environment=environment
        )
        await self.finish(job)
        return await self.evaluation(evaluation)

    async def evaluation(self, evaluation_id: str) -> shapes.EvaluationJson:
        """An evaluation by its id."""
        return cast("shapes.EvaluationJson", await self._line.send("GET", f"/evaluations/{segment(evaluation_id)}"))

    async def evaluations(self, *, limit: int | None = None) -> Sequence[shapes.EvaluationJson]:
        """Evaluations, newest first."""
        return await self._list("/evaluations", shapes.EvaluationJson, limit=limit)

    async def evaluation_samples(self, evaluation_id: str, *, limit: int | None = None) -> Sequence[JsonObject]:
        """The samples of an evaluation with outputs and scores."""
        return await self._list(f"/evaluations/{segment(evaluation_id)}/samples", JsonObject, limit=limit)

    async def compare(
        self,
        a: str,
        b: str,
        *,
        metrics: Sequence[str] = (),
        margins: Mapping[str, float] | None = None,
        within: str | None = None,
    ) -> shapes.ComparisonJson:
        """Compare two evaluations, sample by sample; `b` is better or worse than `a`.

        `margins` names, by metric, the difference that does not matter; `within` is a slice, `field=value`.
        """
        body: JsonObject = {"a": a, "b": b, "metrics": list(metrics) or None, "margins": dict(margins or {}), "slice": within}
        return cast("shapes.ComparisonJson", await self._line.send("POST", "/comparisons", body=body))

    async def check_gate(self, gate: str, evaluation: str, *, against: str | None = None) -> shapes.GateJson:
        """Ask a gate about an evaluation."""
        name = _versioned(gate, "gate")
        body: JsonObject = {"evaluation": evaluation, "against": against}
        return cast("shapes.GateJson", await self._line.send("POST", f"/gates/{segment(name)}:check", body=body))

    # Endpoints

    async def deploy(self, app: str, *, to: str, environment: str | None = None) -> shapes.EndpointJson:
        """Serve an app or release at an endpoint, which is made when it is missing.

        It answers through the connections of `environment`; by default those that it answered through before.
        """
        name = parse_ref(to, kind="endpoint").name
        body: JsonObject = {"app": app, "environment": environment}
        return cast("shapes.EndpointJson", await self._line.send("POST", f"/endpoints/{segment(name)}:deploy", body=body))

    async def rollback(self, endpoint: str) -> shapes.EndpointJson:
        """Serve what the endpoint served before."""
        name = parse_ref(endpoint, kind="endpoint").name
        return cast("shapes.EndpointJson", await self._line.send("POST", f"/endpoints/{segment(name)}:rollback"))

    async def endpoint(self, name: str) -> shapes.EndpointJson:
        """What an endpoint serves."""
        found = parse_ref(name, kind="endpoint").name
        return cast("shapes.EndpointJson", await self._line.send("GET", f"/endpoints/{segment(found)}"))

    async def endpoints(self) -> Sequence[shapes.EndpointJson]:
        """Every endpoint."""
        return await self._list("/endpoints", shapes.EndpointJson)

    # Traces, datasets, indexes

    async def traces(self, *, q: str | None = None, limit: int = 20) -> Sequence[shapes.TraceJson]:
        """Traces, newest first; `q` finds words in inputs and outputs."""
        return await self._list("/traces", shapes.TraceJson, params={"q": q}, limit=limit)

    async def trace(self, trace_id: str) -> shapes.TraceJson:
        """A trace by its id or the beginning of it."""
        return cast("shapes.TraceJson", await self._line.send("GET", f"/traces/{segment(trace_id)}"))

    async def samples(self, dataset: str, *, limit: int | None = None) -> Sequence[JsonObject]:
        """Rows of a dataset."""
        ref = parse_ref(dataset, kind="dataset")
        return await self._list(
            f"/datasets/{segment(ref.name)}/samples", JsonObject, params={"version": ref.version}, limit=limit
        )

    async def build_index(self, index: str) -> str:
        """Start to build an index; the job's id. What is built already is not built again."""
        name = _versioned(index, "index")
        return cast("Mapping[str, str]", await self._line.send("POST", f"/indexes/{segment(name)}:build"))["job"]

    async def search_index(
        self, index: str, query: str, *, k: int = 6, mode: Literal["vector", "fulltext", "hybrid"] = "hybrid"
    ) -> Sequence[JsonObject]:
        """The chunks of an index nearest to a query, best first."""
        name = _versioned(index, "index")
        body: JsonObject = {"query": query, "k": k, "mode": mode}
        found = await self._line.send("POST", f"/indexes/{segment(name)}:search", body=body)
        return cast("Mapping[str, Sequence[JsonObject]]", found)["items"]

    # Jobs

    async def jobs(self, *, limit: int = 20) -> Sequence[shapes.JobJson]:
        """Jobs, newest first."""
        return await self._list("/jobs", shapes.JobJson, limit=limit)

    async def job(self, job_id: str) -> shapes.JobJson:
        """A job by its id."""
        return cast("shapes.JobJson", await self._line.send("GET", f"/jobs/{segment(job_id)}"))

    async def cancel_job(self, job_id: str) -> shapes.JobJson:
        """Ask a job to stop; what it finished stays."""
        return cast("shapes.JobJson", await self._line.send("POST", f"/jobs/{segment(job_id)}:cancel"))

    async def follow(self, job_id: str) -> AsyncIterator[shapes.JobJson]:
        """Yield a job whenever it changes; the last one has ended. A broken stream is taken up again."""
        while True:
            try:
                async for event in self._line.events("GET", f"/jobs/{segment(job_id)}/events"):
                    job = cast("shapes.JobJson", orjson.loads(event.data))
                    yield job
                    if job.get("status") in _ENDED:
                        return
            except Unavailable:
                pass  # the next request says whether the server is gone
            job = await self.job(job_id)
            if job.get("status") in _ENDED:
                yield job
                return
            await anyio.sleep(_POLL)

    async def finish(self, job_id: str) -> shapes.JobJson:
        """Wait for a job. Raises what it failed with, and `Conflict` when it was cancelled."""
        last: shapes.JobJson = {}
        async for job in self.follow(job_id):
            last = job
        return ended_well(last)

    # The server

    async def openapi(self) -> JsonObject:
        """The description of every route."""
        return cast("JsonObject", await self._line.send_absolute("GET", "/openapi.json"))

    async def _send_files(self, path: str, collected: Collected | None, more: JsonObject | None = None) -> Json:
        if collected is None:
            collected = await anyio.to_thread.run_sync(collect, self.settings)
        await upload(self._line, collected)
        return await self._line.send("POST", path, body={"files": collected.manifest(), **(more or {})})


def ended_well(job: shapes.JobJson) -> shapes.JobJson:
    """Return a job that is done; raise what a failed one failed with, and `Conflict` for a cancelled one."""
    status = job.get("status")
    if status == "done":
        return job
    if status == "cancelled":
        raise error_from_code(
            "conflict", f"job {job.get('id')} was cancelled", hint="What it finished is kept and is not done again."
        )
    reason = job.get("error") or "it did not say why"
    raise _job_error(job, reason)


def _job_error(job: shapes.JobJson, reason: str) -> TidemillError:
    hint = f"See: tidemill jobs show {job.get('id')}"
    return error_from_code(job.get("code") or "unavailable", f"{job.get('kind') or 'the job'} failed: {reason}", hint=hint)


def _artifact_path(ref: Ref) -> str:
    return f"/artifacts/{segment(ref.kind)}/{segment(ref.name)}"


def _versioned(ref: str, kind: str) -> str:
    parsed = parse_ref(ref, kind=kind)
    return parsed.name + (f"@{parsed.version}" if parsed.version else "")
