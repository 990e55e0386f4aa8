"""What a comparison of models will take: from what earlier runs took, else from the length of the texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import anyio.to_thread

from tidemill.api.candidates import Candidate, Setting
from tidemill.api.platform import Platform
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Sample
from tidemill.evaluation.fields import filling
from tidemill.flows.run import RunContext, RunResult
from tidemill.models.catalogue import load_catalogue
from tidemill.models.configured import entry_of, price_of
from tidemill.telemetry import null_recorder

_CHARACTERS_A_TOKEN = 4


async def estimate(platform: Platform, project: str, setting: Setting, asked: JsonObject) -> list[dict[str, Json]]:
    """For each candidate the runs that are left, those that are re-used, US dollars and seconds; None where not known."""
    catalogue = await anyio.to_thread.run_sync(load_catalogue)
    runs, at_once = cast("int", asked["n"]), cast("int", asked["at_once"])
    found: list[dict[str, Json]] = []
    for each in setting.candidates:
        known = await _known(platform, project, each, setting, runs=runs)
        left = len(setting.samples) * runs - len(known)
        price = price_of(each.version, entry_of(each.version, catalogue))
        into, out = _tokens(known, setting.samples)
        answers = setting.kind == "models"  # a search has nothing to write
        cost = None if price is None else (into * price[0] + (out * (price[1] or 0.0) if answers else 0.0)) / 1e6 * left
        took = [sum(step.latency_ms for step in one.steps.values()) / 1000 for one in known]
        seconds = left * sum(took) / len(took) / at_once if took else None
        found.append({"candidate": each.version.ref, "runs": left, "reused": len(known), "cost": cost, "seconds": seconds})
    return found


async def _known(platform: Platform, project: str, candidate: Candidate, setting: Setting, *, runs: int) -> list[RunResult]:
    """The runs that the step cache answers."""
    span = null_recorder().trace("estimate", kind="evaluator", project=project)
    fill = filling(candidate.bundle.root)
    inputs = [fill(sample) for sample in setting.samples]
    known: list[RunResult] = []
    for replicate in range(runs):
        context = RunContext(project=project, environment=platform.settings.environment, span=span, replicate=replicate)
        results = await platform.runner.recall(candidate.bundle, inputs, context=context)
        known += [each for each in results if each is not None]
    return known


def _tokens(known: Sequence[RunResult], samples: Sequence[Sample]) -> tuple[float, float]:
    """Tokens in and out of one answer: as it was before, else by the length of inputs and references."""
    if known:
        spent = [each.saved_usage for each in known]
        return sum(each.input_tokens for each in spent) / len(spent), sum(each.output_tokens for each in spent) / len(spent)
    count = max(1, len(samples)) * _CHARACTERS_A_TOKEN
    return sum(len(str(each.input)) for each in samples) / count, sum(
        len(str(each.reference or "")) for each in samples
    ) / count
