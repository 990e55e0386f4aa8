"""What an evaluation would take, before it is started: generations, searches, embeddings, time and money.

Times and costs are those that the same steps took before; calls are counted from what the cache really holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tidemill.core.chat import Usage
from tidemill.core.json import JsonObject
from tidemill.core.records import Bundle, Sample, Version
from tidemill.evaluation.fields import filling
from tidemill.evaluation.results import SampleResult
from tidemill.evaluation.scorers.choose import Chosen
from tidemill.flows.foresee import Bound, Foreseen, looser
from tidemill.flows.results import add_cost
from tidemill.flows.run import RunContext, Runner, steps_reading
from tidemill.pricing.prices import cost_of
from tidemill.store.cache import CachedStep
from tidemill.telemetry import null_recorder

_MOST: Final = 2000
"""Samples that are walked through; of a larger dataset the first so many stand for the rest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What would have to be done. `samples` counts the runs that do anything; `chunks` those that an index build embeds.

    `time_ms` adds up how long the steps took before, side by side as `parallel` says; None when one never ran. `cost` is in US
    dollars; None when a price is not known. `bound` says how to read the counts: as they are, as the most, or roughly.
    """

    samples: int = 0
    generations: int = 0
    searches: int = 0
    embeddings: int = 0
    tools: int = 0
    chunks: int = 0
    time_ms: float | None = 0.0
    cost: float | None = 0.0
    bound: Bound = "exact"
    models: tuple[str, ...] = ()

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            samples=self.samples + other.samples,
            generations=self.generations + other.generations,
            searches=self.searches + other.searches,
            embeddings=self.embeddings + other.embeddings,
            tools=self.tools + other.tools,
            chunks=self.chunks + other.chunks,
            time_ms=add_cost(self.time_ms, other.time_ms),
            cost=add_cost(self.cost, other.cost),
            bound=looser(self.bound, other.bound),
            models=tuple(dict.fromkeys((*self.models, *other.models))),
        )

    def as_json(self) -> JsonObject:
        """As the API answers it."""
        return {
            "generations": self.generations, "searches": self.searches, "embeddings": self.embeddings + self.chunks,
            "chunks": self.chunks, "tools": self.tools, "samples": self.samples, "time_ms": self.time_ms, "cost": self.cost,
            "bound": self.bound, "models": list(self.models),
        }  # fmt: skip


async def foresee_evaluation(  # noqa: PLR0913  (what an evaluation takes, and what was evaluated before)
    *,
    bundle: Bundle,
    before: Bundle | None,
    samples: Sequence[Sample],
    scorers: Sequence[Chosen],
    runner: Runner,
    project: str,
    environment: str,
    replicates: int = 1,
    parallel: float = 1.0,
) -> Estimate:
    """What evaluating `bundle`, kept or not, would run now; `before`, evaluated last, says how long steps took."""
    walked = samples[:_MOST]

    async def walk(one: Bundle) -> list[Foreseen]:
        fill, found = filling(one.root), list[Foreseen]()
        inputs = [fill(each) for each in walked]
        for replicate in range(replicates):
            found += await runner.foresee(one, inputs, context=_context(one, scorers, project, environment, replicate))
        return found

    found = await walk(bundle)
    usual = _Usual.of(await walk(before)) if before is not None else _Usual(steps={})
    estimate = _sum(found, usual, parallel=max(1.0, parallel))
    return estimate if len(walked) == len(samples) else _scaled(estimate, len(samples) / len(walked))


def parallelism(results: Iterable[SampleResult], duration_ms: float) -> float:
    """How many samples ran side by side in an evaluation that took so long; 1 when nothing in it ran afresh."""
    fresh = sum(each.latency_ms or 0.0 for each in results if not each.reused)
    return max(1.0, fresh / duration_ms) if duration_ms > 0 else 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Usual:
    """What each step gave before, by its place."""

    steps: Mapping[str, Sequence[CachedStep]]

    @classmethod
    def of(cls, walked: Iterable[Foreseen]) -> _Usual:
        found: dict[str, list[CachedStep]] = {}
        for each in walked:
            for name, step in each.known:
                found.setdefault(name, []).append(step)
        return cls(steps=found)

    def latency_ms(self, name: str) -> float | None:
        known = self.steps.get(name)
        return sum(each.latency_ms for each in known) / len(known) if known else None

    def calls(self, name: str) -> float:
        """How often the step asked its model, at an average."""
        counts = [each.extra.get("model") for each in self.steps.get(name, ()) if isinstance(each.extra, Mapping)]
        known = [each for each in counts if isinstance(each, int)]
        return sum(known) / len(known) if known else 1.0

    def cost(self, name: str, model: Version) -> float | None:
        """What the step would cost with this model, by the tokens that it took before."""
        known = self.steps.get(name)
        provider, called = str(model.spec.get("provider")), str(model.spec.get("model", ""))
        if not known:
            return 0.0 if cost_of(provider, called, Usage()) == 0.0 and provider in {"local", "test"} else None
        costs = [cost_of(provider, called, each.usage) for each in known]
        priced = [each for each in costs if each is not None]
        return sum(priced) / len(priced) if len(priced) == len(costs) else None


def _sum(found: Sequence[Foreseen], usual: _Usual, *, parallel: float) -> Estimate:
    total = Estimate(samples=sum(bool(each.runs) for each in found))
    times, costs = dict[str, float | None](), dict[tuple[str, str], float | None]()
    for each in found:
        total += Estimate(bound=each.bound if each.runs else "exact")
        for name, calls, model in each.runs:
            digest = "" if model is None else model.digest
            if (name, digest) not in costs:
                times[name] = usual.latency_ms(name)
                costs[name, digest] = 0.0 if model is None else usual.cost(name, model)
            asked = usual.calls(name) * calls.model if each.bound == "about" else float(calls.model)
            total += Estimate(
                generations=round(asked),
                searches=calls.retrieve,
                embeddings=calls.embed,
                tools=calls.tool,
                time_ms=add_cost(times[name], 0.0),
                cost=costs[name, digest],
                models=() if model is None else (model.bare,),
            )
    return replace(total, time_ms=None if total.time_ms is None else total.time_ms / parallel)


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    """The same for more samples of which these were the first."""
    return Estimate(
        samples=round(estimate.samples * factor),
        generations=round(estimate.generations * factor),
        searches=round(estimate.searches * factor),
        embeddings=round(estimate.embeddings * factor),
        tools=round(estimate.tools * factor),
        time_ms=None if estimate.time_ms is None else estimate.time_ms * factor,
        cost=None if estimate.cost is None else estimate.cost * factor,
        bound="about",
        models=estimate.models,
    )


def _context(bundle: Bundle, scorers: Sequence[Chosen], project: str, environment: str, replicate: int) -> RunContext:
    reads = frozenset[str]().union(*(each.scorer.reads for each in scorers))
    steps = steps_reading(bundle.root.spec, reads) if bundle.root.kind == "chain" else frozenset[str]()
    span = null_recorder().trace("foresee", kind="evaluator", project=project)
    return RunContext(
        project=project, environment=environment, span=span, replicate=replicate, targets=frozenset(steps) or None
    )
