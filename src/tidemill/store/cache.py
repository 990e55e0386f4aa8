"""What need not be done twice: steps' outputs, scores, and the epochs of models that changed under one name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Connection, bindparam, select

from tidemill.core.chat import Usage
from tidemill.core.json import Json
from tidemill.core.records import Score
from tidemill.store.tables import epochs, scores, steps
from tidemill.store.upsert import in_batches, upsert


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedStep:
    """A step's output and what it took when it was made."""

    output: Json
    created_ns: int
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    latency_ms: float = 0.0
    extra: Json = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedScore:
    """A score and when it was given."""

    score: Score
    created_ns: int


_STEPS = select(steps).where(steps.c.project == bindparam("project"), steps.c.key.in_(bindparam("keys", expanding=True)))
_SCORES = select(scores).where(scores.c.project == bindparam("project"), scores.c.key.in_(bindparam("keys", expanding=True)))
_EPOCH = select(epochs.c.epoch, epochs.c.fingerprint).where(
    epochs.c.project == bindparam("project"), epochs.c.model == bindparam("model")
)


def get_steps(db: Connection, project: str, keys: Sequence[str]) -> dict[str, CachedStep]:
    """The steps that are known, by key; unknown keys are left out."""
    found: dict[str, CachedStep] = {}
    for batch in in_batches(keys):
        for row in db.execute(_STEPS, {"project": project, "keys": batch}):
            _, key, output, input_tokens, output_tokens, cached_tokens, cost, latency_ms, extra, created_ns = cast(
                "tuple[Any, ...]", row
            )
            found[key] = CachedStep(
                output=output,
                usage=Usage(input_tokens=input_tokens, output_tokens=output_tokens, cached_tokens=cached_tokens),
                cost=cost,
                latency_ms=latency_ms,
                extra=extra,
                created_ns=created_ns,
            )
    return found


def put_steps(db: Connection, project: str, entries: Mapping[str, CachedStep]) -> None:
    """Keep steps by key; a key that is known already is replaced."""
    rows = [
        {
            "project": project,
            "key": key,
            "output": step.output,
            "input_tokens": step.usage.input_tokens,
            "output_tokens": step.usage.output_tokens,
            "cached_tokens": step.usage.cached_tokens,
            "cost": step.cost,
            "latency_ms": step.latency_ms,
            "extra": step.extra,
            "created_ns": step.created_ns,
        }
        for key, step in entries.items()
    ]
    upsert(db, steps, rows)


def get_scores(db: Connection, project: str, keys: Sequence[str]) -> dict[str, CachedScore]:
    """The scores that are known, by key; unknown keys are left out."""
    found: dict[str, CachedScore] = {}
    for batch in in_batches(keys):
        for row in db.execute(_SCORES, {"project": project, "keys": batch}):
            _, key, metric, value, error, reason, created_ns = cast("tuple[Any, ...]", row)
            score = Score(metric=metric, value=value, error=error, reason=reason)
            found[key] = CachedScore(score=score, created_ns=created_ns)
    return found


def put_scores(db: Connection, project: str, entries: Mapping[str, CachedScore]) -> None:
    """Keep scores by key; a key that is known already is replaced."""
    rows = [
        {
            "project": project,
            "key": key,
            "metric": each.score.metric,
            "value": each.score.value,
            "error": each.score.error,
            "reason": each.score.reason,
            "created_ns": each.created_ns,
        }
        for key, each in entries.items()
    ]
    upsert(db, scores, rows)


def epoch(db: Connection, project: str, model_key: str) -> int:
    """How often the model behind `model_key` has changed; part of every cache key of its outputs."""
    return db.execute(_EPOCH, {"project": project, "model": model_key}).scalar() or 0


def last_fingerprint(db: Connection, project: str, model_key: str) -> tuple[int, str | None]:
    """The epoch of the model behind `model_key`, and what its provider reported last; (0, None) when it never did."""
    row = db.execute(_EPOCH, {"project": project, "model": model_key}).first()
    return (0, None) if row is None else (row.epoch, row.fingerprint)


def note_fingerprint(db: Connection, project: str, model_key: str, fingerprint: str) -> int:
    """Take note of what the provider reported; a changed fingerprint starts a new epoch, which is returned."""
    row = db.execute(_EPOCH, {"project": project, "model": model_key}).first()
    if row is not None and row.fingerprint == fingerprint:
        return row.epoch
    now = 0 if row is None else row.epoch + 1
    upsert(db, epochs, [{"project": project, "model": model_key, "epoch": now, "fingerprint": fingerprint}])
    return now
