# Made by scripts/sync_client.py from src/tidemill/client/pipelines.py; change that file and run the script.
"""Calls about pipelines: start a run, follow it, read what its steps wrote, stop it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tidemill.client.pipelines import LineJson, PipelineJson, PipelineRunJson
from tidemill.client.sync.waiting import Waiting
from tidemill.core.json import JsonObject


class PipelineCalls(Waiting):
    """Pipelines and their runs."""

    def pipelines(self) -> Sequence[PipelineJson]:
        """Every pipeline."""
        return self._wait(self._client.pipelines)

    def run_pipeline(self, pipeline: str, inputs: JsonObject | None = None, *, run_id: str | None = None) -> PipelineRunJson:
        """Start a run of the latest version, or of the one named. The same `run_id` again answers the same run."""
        return self._wait(lambda: self._client.run_pipeline(pipeline, inputs, run_id=run_id))

    def pipeline_runs(self, pipeline: str | None = None, *, limit: int | None = None) -> Sequence[PipelineRunJson]:
        """Runs, newest first, without their steps."""
        return self._wait(lambda: self._client.pipeline_runs(pipeline, limit=limit))

    def pipeline_run(self, run: str) -> PipelineRunJson:
        """A run by its id, or the beginning of it."""
        return self._wait(lambda: self._client.pipeline_run(run))

    def cancel_pipeline_run(self, run: str) -> PipelineRunJson:
        """Stop a run; what it finished stays."""
        return self._wait(lambda: self._client.cancel_pipeline_run(run))

    def pipeline_lines(self, run: str, *, step: str | None = None, after: str | None = None) -> Sequence[LineJson]:
        """What the steps wrote, in order; with `after`, what came since that cursor."""
        return self._wait(lambda: self._client.pipeline_lines(run, step=step, after=after))

    def follow_pipeline_run(self, run: str) -> Iterator[PipelineRunJson]:
        """Yield a run whenever it changes; the last one has ended."""
        return self._each(lambda: self._client.follow_pipeline_run(run))

    def finish_pipeline_run(self, run: str) -> PipelineRunJson:
        """Wait for a run to end, however it ends."""
        return self._wait(lambda: self._client.finish_pipeline_run(run))
