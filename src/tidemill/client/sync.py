"""`Client`: the same as `AsyncClient`, without `await`. One event loop runs in a thread while it is open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from tidemill.client import shapes
from tidemill.client.api import AsyncClient
from tidemill.client.files import Collected
from tidemill.core.errors import Invalid
from tidemill.core.json import JsonObject
from tidemill.core.settings import Settings

T = TypeVar("T")


class Client:
    """The control plane of one project. Use it as `with Client() as client:`; arguments as for `AsyncClient`."""

    def __init__(
        self,
        *,
        url: str | None = None,
        token: str | None = None,
        project: str | None = None,
        data: Path | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._client = AsyncClient(url=url, token=token, project=project, data=data, settings=settings)
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal("asyncio"))
            stack.enter_context(portal.wrap_async_context_manager(self._client))
            self._portal, self._stack = portal, stack.pop_all()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._portal = None
        self._stack.__exit__(exc_type, exc_value, traceback)

    def call(self, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
        """Do with the asynchronous client what has no method here, as in `client.call(lambda c: c.rollout("endpoint/x"))`."""
        return self._wait(lambda: work(self._client))

    @property
    def settings(self) -> Settings:
        """Where it looks and what it works on."""
        return self._client.settings

    def plan(self, collected: Collected | None = None) -> shapes.Plan:
        """What an apply of these files (default: the project's) would change."""
        return self._wait(lambda: self._client.plan(collected))

    def apply(self, collected: Collected | None = None) -> shapes.Applied:
        """Apply these files: all or none. Waits for the builds that it starts."""

        async def apply() -> shapes.Applied:
            applied = await self._client.apply(collected)
            for job in applied.get("jobs", ()):
                await self._client.finish(job)
            return applied

        return self._wait(apply)

    def artifacts(
        self, *, kind: str | None = None, q: str | None = None, limit: int | None = None
    ) -> Sequence[shapes.VersionJson]:
        """The latest version of every artifact, of one kind or of all."""
        return self._wait(lambda: self._client.artifacts(kind=kind, q=q, limit=limit))

    def artifact(self, ref: str) -> shapes.VersionJson:
        """One version: the one that `ref` names, else the latest."""
        return self._wait(lambda: self._client.artifact(ref))

    def versions(self, ref: str, *, limit: int | None = None) -> Sequence[shapes.VersionJson]:
        """Every version of an artifact, newest first."""
        return self._wait(lambda: self._client.versions(ref, limit=limit))

    def set_alias(self, ref: str, alias: str, *, why: str = "", expected: str | None = None) -> JsonObject:
        """Move an alias to the version that `ref` names; with `expected`, only when it still points there."""
        return self._wait(lambda: self._client.set_alias(ref, alias, why=why, expected=expected))

    def make_release(self, root: str) -> shapes.ReleaseJson:
        """Lock an app with everything that it needs."""
        return self._wait(lambda: self._client.make_release(root))

    def release(self, digest: str) -> shapes.ReleaseJson:
        """A release by its digest."""
        return self._wait(lambda: self._client.release(digest))

    def run(self, app: str, inputs: JsonObject) -> shapes.RunJson:
        """Run an app or a release once."""
        return self._wait(lambda: self._client.run(app, inputs))

    def evaluate(
        self, app: str, *, data: str, scorers: Sequence[str] = (), n: int = 1, limit: int | None = None
    ) -> shapes.EvaluationJson:
        """Evaluate an app or release on a dataset and wait for the result."""
        return self._wait(lambda: self._client.evaluate(app, data=data, scorers=scorers, n=n, limit=limit))

    def evaluation(self, evaluation_id: str) -> shapes.EvaluationJson:
        """An evaluation by its id."""
        return self._wait(lambda: self._client.evaluation(evaluation_id))

    def evaluations(self, *, limit: int | None = None) -> Sequence[shapes.EvaluationJson]:
        """Evaluations, newest first."""
        return self._wait(lambda: self._client.evaluations(limit=limit))

    def evaluation_samples(self, evaluation_id: str, *, limit: int | None = None) -> Sequence[JsonObject]:
        """The samples of an evaluation with outputs and scores."""
        return self._wait(lambda: self._client.evaluation_samples(evaluation_id, limit=limit))

    def compare(
        self,
        a: str,
        b: str,
        *,
        metrics: Sequence[str] = (),
        margins: Mapping[str, float] | None = None,
        within: str | None = None,
    ) -> shapes.ComparisonJson:
        """Compare two evaluations, sample by sample; see `AsyncClient.compare`."""
        return self._wait(lambda: self._client.compare(a, b, metrics=metrics, margins=margins, within=within))

    def check_gate(self, gate: str, evaluation: str, *, against: str | None = None) -> shapes.GateJson:
        """Ask a gate about an evaluation."""
        return self._wait(lambda: self._client.check_gate(gate, evaluation, against=against))

    def deploy(self, app: str, *, to: str) -> shapes.EndpointJson:
        """Serve an app or release at an endpoint, which is made when it is missing."""
        return self._wait(lambda: self._client.deploy(app, to=to))

    def rollback(self, endpoint: str) -> shapes.EndpointJson:
        """Serve what the endpoint served before."""
        return self._wait(lambda: self._client.rollback(endpoint))

    def endpoints(self) -> Sequence[shapes.EndpointJson]:
        """Every endpoint."""
        return self._wait(self._client.endpoints)

    def traces(self, *, q: str | None = None, limit: int = 20) -> Sequence[shapes.TraceJson]:
        """Traces, newest first; `q` finds words in inputs and outputs."""
        return self._wait(lambda: self._client.traces(q=q, limit=limit))

    def trace(self, trace_id: str) -> shapes.TraceJson:
        """A trace by its id or the beginning of it."""
        return self._wait(lambda: self._client.trace(trace_id))

    def samples(self, dataset: str, *, limit: int | None = None) -> Sequence[JsonObject]:
        """Rows of a dataset."""
        return self._wait(lambda: self._client.samples(dataset, limit=limit))

    def keys(self) -> Sequence[shapes.KeyJson]:
        """The project's API keys, without their secrets."""
        return self._wait(self._client.keys)

    def create_key(
        self, *, endpoints: Sequence[str] = (), role: str = "developer", person: str | None = None
    ) -> shapes.KeyJson:
        """Make an API key; `key` in the answer is shown only now."""
        return self._wait(lambda: self._client.create_key(endpoints=endpoints, role=role, person=person))

    def revoke_key(self, key_id: str) -> None:
        """Revoke an API key."""
        return self._wait(lambda: self._client.revoke_key(key_id))

    def jobs(self, *, limit: int = 20) -> Sequence[shapes.JobJson]:
        """Jobs, newest first."""
        return self._wait(lambda: self._client.jobs(limit=limit))

    def cancel_job(self, job_id: str) -> shapes.JobJson:
        """Ask a job to stop."""
        return self._wait(lambda: self._client.cancel_job(job_id))

    def finish(self, job_id: str) -> shapes.JobJson:
        """Wait for a job. Raises what it failed with."""
        return self._wait(lambda: self._client.finish(job_id))

    def _wait(self, work: Callable[[], Awaitable[T]]) -> T:
        if self._portal is None:
            raise Invalid("the client is not open", hint="Write: with Client() as client: …")
        return self._portal.call(work)
