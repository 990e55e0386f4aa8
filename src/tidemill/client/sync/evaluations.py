# Made by scripts/sync_client.py from src/tidemill/client/evaluations.py; change that file and run the script.
"""Evaluations, comparisons and gates, as calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tidemill.client import shapes
from tidemill.client.sync.waiting import Waiting
from tidemill.core.json import JsonObject


class EvaluationCalls(Waiting):
    """Measure, compare, decide."""

    def start_evaluation(
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
        return self._wait(
            lambda: self._client.start_evaluation(app, data=data, scorers=scorers, n=n, limit=limit, environment=environment)
        )

    def evaluate(
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
        return self._wait(
            lambda: self._client.evaluate(app, data=data, scorers=scorers, n=n, limit=limit, environment=environment)
        )

    def evaluation(self, evaluation_id: str) -> shapes.EvaluationJson:
        """An evaluation by its id."""
        return self._wait(lambda: self._client.evaluation(evaluation_id))

    def evaluations(self, *, limit: int | None = None) -> Sequence[shapes.EvaluationJson]:
        """Evaluations, newest first."""
        return self._wait(lambda: self._client.evaluations(limit=limit))

    def iter_evaluations(self) -> Iterator[shapes.EvaluationJson]:
        """Every evaluation, newest first, a page at a time as they are asked for."""
        return self._each(self._client.iter_evaluations)

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
        """Compare two evaluations, sample by sample; `b` is better or worse than `a`.

        `margins` names, by metric, the difference that does not matter; `within` is a slice, `field=value`.
        """
        return self._wait(lambda: self._client.compare(a, b, metrics=metrics, margins=margins, within=within))

    def check_gate(self, gate: str, evaluation: str, *, against: str | None = None) -> shapes.GateJson:
        """Ask a gate about an evaluation."""
        return self._wait(lambda: self._client.check_gate(gate, evaluation, against=against))
