"""What a tuning run does, once every default is filled in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, cast

from tidemill.core.json import Json, JsonObject

Method: TypeAlias = Literal["sft", "dpo"]
TooLong: TypeAlias = Literal["refuse", "truncate", "drop"]
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A run: `steps` of `batch` rows each, LoRA of `rank` on the layers `targets`, scaled by `alpha / rank`.

    `learning_rate` rises over the first `warmup` (a share of the steps) and falls in a line to zero. `max_tokens` bounds a row,
    prompt and answer together. `beta` is DPO's, how far from the base the model may go for a preference.
    """

    method: Method
    steps: int
    batch: int
    learning_rate: float
    warmup: float
    max_tokens: int
    too_long: TooLong
    seed: int
    checkpoint_every: int
    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...]
    beta: float

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        return self.learning_rate * (self.steps - step) / max(1, self.steps - warm)

    def as_json(self) -> dict[str, Json]:
        """Every field."""
        return {**cast("dict[str, Json]", asdict(self)), "targets": list(self.targets)}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Recipe:
        """The inverse of `as_json`."""
        values: dict[str, Any] = {**given, "targets": tuple(given["targets"])}
        return cls(**values)


def recipe_for(spec: JsonObject, *, rows: int) -> Recipe:
    """The recipe of a tune's canonical spec for a dataset of `rows` rows, which turns epochs into steps."""
    lora = cast("Mapping[str, Any]", spec["lora"])
    given = cast("Mapping[str, Any]", spec)
    batch = min(int(given["batch"]), rows)
    steps = given.get("steps") or max(1, math.ceil(rows * float(given.get("epochs") or 1) / batch))
    names = ("method", "learning_rate", "warmup", "max_tokens", "too_long", "seed", "checkpoint_every", "beta")
    values: dict[str, Any] = {name: given[name] for name in names}
    return Recipe(
        **values,
        steps=int(steps),
        batch=batch,
        rank=lora["rank"],
        alpha=lora["alpha"],
        dropout=lora["dropout"],
        targets=tuple(lora["targets"]),
    )
