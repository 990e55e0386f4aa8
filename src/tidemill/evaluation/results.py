"""What an evaluation holds: its samples' results, and the per-sample values of a metric that statistics are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from tidemill.core.chat import Usage
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject

Direction: TypeAlias = Literal["higher", "lower"]
LATENCY, COST, ERROR_RATE = "latency_ms", "cost", "error_rate"
LOWER_IS_BETTER = frozenset({LATENCY, COST, ERROR_RATE})


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleResult:
    """One run of one sample, scored.

    `digest` is the sample's. `latency_ms` and `cost` (US dollars, None without a price) are those of when the output was made;
    `reused` says that any of it was made earlier, so its latency is not of this evaluation. `spent` is what this evaluation
    paid for it. `calls` counts the calls made; `reused_scores` the scores taken from the cache. `trace` is the trace's id.
    """

    sample: str
    digest: str = ""
    replicate: int = 0
    input: Json = None
    output: Json = None
    retrieved: Sequence[str] = ()
    scores: Mapping[str, float | None] = field(default_factory=dict[str, "float | None"])
    score_errors: Mapping[str, str] = field(default_factory=dict[str, str])
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    error: str | None = None
    latency_ms: float | None = None
    cost: float | None = None
    spent: float | None = None
    usage: Usage = field(default_factory=Usage)
    spent_usage: Usage = field(default_factory=Usage)
    calls: Mapping[str, int] = field(default_factory=dict[str, int])
    reused: bool = False
    reused_scores: int = 0
    metadata: JsonObject = field(default_factory=dict[str, Json])
    trace: str | None = None

    def to_json(self) -> JsonObject:
        """As it is stored and shown."""
        row = {name: getattr(self, name) for name in self.__slots__}
        return {**row, "usage": _usage_json(self.usage), "spent_usage": _usage_json(self.spent_usage)}

    @classmethod
    def from_json(cls, row: JsonObject) -> SampleResult:
        """What `to_json` wrote; fields of a newer version are left out."""
        known = {name: value for name, value in row.items() if name in cls.__slots__}
        values = cast("dict[str, Any]", known)
        values |= {name: _usage(known.get(name)) for name in ("usage", "spent_usage")}
        return cls(**values)


def _usage_json(usage: Usage) -> JsonObject:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
    }


def _usage(value: Json) -> Usage:
    return Usage(**cast("dict[str, int]", value or {}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluated:
    """An evaluation with its sample results.

    `scorers` maps each score metric to the digest of what scored it; `binary` names those whose scores are 0 or 1. `steps` are
    the steps that ran, None for all: evaluations that ran different steps have no latency or cost to compare.
    """

    id: str
    results: Sequence[SampleResult]
    release: str = ""
    dataset: str = ""
    scorers: Mapping[str, str] = field(default_factory=dict[str, str])
    binary: frozenset[str] = frozenset()
    steps: tuple[str, ...] | None = None
    status: str = "done"

    @classmethod
    def of(cls, evaluation: JsonObject, rows: Iterable[JsonObject]) -> Evaluated:
        """From the JSON of an evaluation and of its samples, as the harness writes them."""
        scorers = cast("Mapping[str, JsonObject]", evaluation.get("scorers") or {})
        steps = cast("Sequence[str] | None", evaluation.get("steps"))
        return cls(
            id=str(evaluation.get("id", "")),
            release=str(evaluation.get("release", "")),
            dataset=str(evaluation.get("dataset", "")),
            status=str(evaluation.get("status", "done")),
            scorers={metric: str(each.get("digest", "")) for metric, each in scorers.items()},
            binary=frozenset(metric for metric, each in scorers.items() if each.get("binary")),
            steps=None if steps is None else tuple(steps),
            results=[SampleResult.from_json(row) for row in rows],
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric there is something to say about: the scores, then latency, cost and error rate."""
        scores = list(self.scorers) or sorted({name for each in self.results for name in each.scores})
        extra = [name for name in (LATENCY, COST) if any(value_of(each, name) is not None for each in self.results)]
        errors = [ERROR_RATE] if any(each.error for each in self.results) else []
        return (*scores, *extra, *errors)


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """The samples whose metadata `field` is `value`, both as text; `true` and `false` for booleans."""

    field: str
    value: str

    def holds(self, metadata: JsonObject) -> bool:
        """Whether a sample belongs to it."""
        if self.field not in metadata:
            return False
        value = metadata[self.field]
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return text == self.value

    def __str__(self) -> str:
        return f"{self.field}={self.value}"


def parse_slice(text: str) -> Slice:
    """Parse `field=value`. Raises `Invalid`, naming the form."""
    name, sign, value = (each.strip() for each in text.partition("="))
    if not (name and sign and value):
        raise Invalid(f"{text!r} is not a slice", hint="Write field=value, as in language=de.")
    return Slice(field=name, value=value)


def direction_of(metric: str) -> Direction:
    """Whether more of it is better: lower for latency, cost and error rate, higher for every score."""
    return "lower" if metric in LOWER_IS_BETTER else "higher"


def is_score(metric: str) -> bool:
    """Whether it says how good an answer is; latency and cost say what it took."""
    return metric not in {LATENCY, COST}


def value_of(result: SampleResult, metric: str) -> float | None:
    """One result's value of a metric; None when it has none. A re-used row has no latency of its own."""
    if metric == ERROR_RATE:
        return float(result.error is not None)
    if result.error is not None:
        return None
    if metric == LATENCY:
        return None if result.reused else result.latency_ms
    return result.cost if metric == COST else result.scores.get(metric)


def sample_values(
    results: Iterable[SampleResult], metric: str, *, within: Slice | None = None
) -> dict[tuple[str, str], float | None]:
    """A metric's value of every sample, by the sample's id and digest: the mean over its replicates that have one."""
    gathered: dict[tuple[str, str], list[float]] = {}
    for result in results:
        if within is not None and not within.holds(result.metadata):
            continue
        values = gathered.setdefault((result.sample, result.digest), [])
        value = value_of(result, metric)
        if value is not None:
            values.append(value)
    return {key: sum(values) / len(values) if values else None for key, values in gathered.items()}
