"""What a run will take, said before it begins: rows, tokens, steps, minutes, memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias, cast

from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import Json
from tidemill.tune.recipe import Recipe
from tidemill.tune.rows import Row, named

Count: TypeAlias = Callable[[Row], Awaitable[tuple[int, int]]]
"""The tokens of a row's prompt, and of its longest answer with the mark that ends it."""

_COUNTED = 48
_USUAL_SPEED = 250.0  # tokens a second for 135 M weights on one core of 2021; a measured speed takes its place after one run
_WEIGHTS_MB = 1250  # the process with the weights of the base and its optimiser, measured for 135 M weights
_MB_PER_TOKEN = 1.9  # kept for the backward pass, a token of a pack, measured
_PACK = 512
_EXPORT_S = 25.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """`tokens` is over the whole run, what is shared by the rows of a batch counted each time.

    `minutes` is at `speed` tokens a second, which is `measured` by an earlier run here or else a usual one.
    `too_long` are the ids of rows beyond `max_tokens`.
    """

    rows: int
    tokens: int
    tokens_per_row: int
    steps: int
    epochs: float
    minutes: float
    memory_mb: int
    speed: float
    measured: bool
    too_long: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Json]:
        """Every field."""
        return {**cast("dict[str, Json]", asdict(self)), "too_long": list(self.too_long), "notes": list(self.notes)}


async def estimate_run(
    rows: Sequence[Row],
    *,
    recipe: Recipe,
    count: Count,
    speed: float | None = None,
    notes: Sequence[str] = (),
    context: int = 2048,
) -> Estimate:
    """Count tokens (of some rows, and of every one that may be too long) and say what the run takes.

    `speed` is in tokens a second, as measured by an earlier run; `context` is what the base can read.
    """
    if recipe.max_tokens > context:
        raise Invalid(f"max_tokens {recipe.max_tokens} is more than the base reads, {context}", where="max_tokens")
    every = max(1, len(rows) // _COUNTED)
    counted = [sum(await count(each)) for each in rows[::every]]
    # A byte is at least a token's share of text: what is short in bytes cannot be long in tokens.
    risky = [each for each in rows if _bytes(each) + 64 > recipe.max_tokens]
    too_long = [each.id for each in risky if sum(await count(each)) > recipe.max_tokens]
    mean = min(recipe.max_tokens, round(sum(counted) / len(counted)))
    tokens = mean * recipe.batch * recipe.steps * (2 if recipe.method == "dpo" else 1)
    rate = speed or _USUAL_SPEED
    found = list(notes)
    if too_long:
        what = {"refuse": "are refused", "drop": "are left out", "truncate": "are cut at their end"}[recipe.too_long]
        found.append(f"rows longer than {recipe.max_tokens} tokens {what}: {named(too_long)}")
    return Estimate(
        rows=len(rows),
        tokens=tokens,
        tokens_per_row=mean,
        steps=recipe.steps,
        epochs=round(recipe.steps * recipe.batch / len(rows), 2),
        minutes=round((tokens / rate + _EXPORT_S) / 60, 1),
        memory_mb=round(_WEIGHTS_MB + _MB_PER_TOKEN * min(max(_PACK, recipe.max_tokens), mean * recipe.batch)),
        speed=round(rate, 1),
        measured=speed is not None,
        too_long=tuple(too_long),
        notes=tuple(found),
    )


def kept_rows(rows: Sequence[Row], estimate: Estimate, *, recipe: Recipe) -> list[Row]:
    """The rows to train on, by the recipe's `too_long`. Raises `Invalid` with every one that is refused."""
    if not estimate.too_long or recipe.too_long == "truncate":
        return list(rows)
    gone = set(estimate.too_long)
    if recipe.too_long == "refuse":
        problems = [Problem(message=f"row {each} is longer than {recipe.max_tokens} tokens", where="data") for each in gone]
        raise Invalid(
            f"{len(gone)} rows are longer than {recipe.max_tokens} tokens: {named(estimate.too_long)}",
            where="data",
            hint="Raise max_tokens, or write too_long: drop or too_long: truncate.",
            problems=sorted(problems, key=lambda each: each.message)[:20],
        )
    left = [each for each in rows if each.id not in gone]
    if not left:
        raise Invalid(f"every row is longer than {recipe.max_tokens} tokens", where="data", hint="Raise max_tokens.")
    return left


def _bytes(row: Row) -> int:
    answers = (row.answer, row.worse or "")
    return sum(len(each.text.encode()) + 16 for each in row.prompt) + max(len(each.encode()) for each in answers)
