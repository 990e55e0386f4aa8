"""Evaluations, comparisons and gates, as calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import cast

from tidemill.client import shapes
from tidemill.client.connect import segment
from tidemill.client.jobs import JobCalls
from tidemill.core.json import JsonObject
from tidemill.core.refs import parse_ref


class EvaluationCalls(JobCalls):
    """Measure, compare, decide."""

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

    async def iter_evaluations(self) -> AsyncIterator[shapes.EvaluationJson]:
        """Every evaluation, newest first, a page at a time as they are asked for."""
        async for each in self._iterate("/evaluations", shapes.EvaluationJson):
            yield each

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


def _versioned(ref: str, kind: str) -> str:
    parsed = parse_ref(ref, kind=kind)
    return parsed.name + (f"@{parsed.version}" if parsed.version else "")
