"""The course of a run: learning rates, one optimiser, checkpoints, and where it goes on after a kill."""
# pyright: basic
# torch is typed in part only.

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tidemill.core.errors import Invalid
from tidemill.tune.recipe import Recipe

Tell: TypeAlias = Callable[[Mapping[str, Any]], None]
CHECKPOINT = "checkpoint.pt"
LOSSES = "losses.jsonl"
_CLIP = 1.0


class Course:
    """Steps of AdamW over `parameters`, from the checkpoint in `folder` when there is one.

    Use it as `for step in course.steps(): …; course.step(loss, tokens=…)`, with the gradients there. The same seed, data and
    recipe give the same run, whether it was cut off or not.
    """

    def __init__(self, parameters: Mapping[str, Any], *, recipe: Recipe, folder: Path, tell: Tell) -> None:
        import torch  # noqa: PLC0415

        self._parameters = dict(parameters)
        self._recipe = recipe
        self._folder = folder
        self._tell = tell
        self._optimiser = torch.optim.AdamW(list(self._parameters.values()), lr=recipe.learning_rate, weight_decay=0.0)
        self.done = 0
        self.losses: list[float] = []
        self._resume()

    def steps(self) -> Iterator[int]:
        """The steps that are left, counted from 0, each with its learning rate set and no gradient yet."""
        self._write_losses()
        self._tell({"event": "begin", "step": self.done, "total": self._recipe.steps})
        while self.done < self._recipe.steps:
            for group in self._optimiser.param_groups:
                group["lr"] = self._recipe.rate_at(self.done)
            self._optimiser.zero_grad(set_to_none=True)
            self._began = time.monotonic()
            yield self.done

    def step(self, loss: float, *, tokens: int) -> None:
        """Learn from the gradients. Raises `Invalid` for a loss or a gradient that is not a number; nothing is learnt then."""
        import torch  # noqa: PLC0415

        norm = float(torch.nn.utils.clip_grad_norm_(list(self._parameters.values()), _CLIP))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._diverged(loss)
        self._optimiser.step()
        self.done += 1
        self.losses.append(round(loss, 6))
        seconds = time.monotonic() - self._began
        if self.done % self._recipe.checkpoint_every == 0 or self.done == self._recipe.steps:
            self._save()
        self._write_losses(last=True)
        self._tell({"event": "step", "step": self.done, "loss": self.losses[-1], "tokens": tokens, "seconds": seconds})

    def _diverged(self, loss: float) -> None:
        kept = self.done - self.done % self._recipe.checkpoint_every
        last = f"The checkpoint of step {kept} is kept" if kept else "No checkpoint was made yet"
        raise Invalid(
            f"the loss is {loss:g} at step {self.done + 1}: the run was stopped",
            hint=f"{last}. Lower learning_rate (now {self._recipe.learning_rate:g}), or look for odd rows.",
        )

    def _resume(self) -> None:
        import torch  # noqa: PLC0415

        path = self._folder / CHECKPOINT
        if not path.exists():
            return
        kept = torch.load(path, map_location="cpu", weights_only=True)
        with torch.no_grad():
            for name, each in self._parameters.items():
                each.copy_(kept["adapter"][name])
        self._optimiser.load_state_dict(kept["optimiser"])
        torch.set_rng_state(kept["random"])
        self.done, self.losses = int(kept["done"]), [float(each) for each in kept["losses"]]

    def _save(self) -> None:
        import torch  # noqa: PLC0415

        path = self._folder / CHECKPOINT
        making = path.with_suffix(".making")
        kept = {
            "done": self.done,
            "losses": self.losses,
            "adapter": {name: each.detach() for name, each in self._parameters.items()},
            "optimiser": self._optimiser.state_dict(),
            "random": torch.get_rng_state(),
        }
        with making.open("wb") as file:
            torch.save(kept, file)
            file.flush()
            os.fsync(file.fileno())
        making.replace(path)

    def _write_losses(self, *, last: bool = False) -> None:
        path = self._folder / LOSSES
        if last:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([self.done, self.losses[-1]]) + "\n")
        else:
            lines = [json.dumps([number, loss]) for number, loss in enumerate(self.losses, 1)]
            path.write_text("".join(f"{each}\n" for each in lines), "utf-8")


def rows_of_step(step: int, *, rows: int, batch: int, seed: int) -> Sequence[int]:
    """Which rows a step learns from: every epoch all of them once, in an order that only the seed decides."""
    places = range(step * batch, (step + 1) * batch)
    orders: dict[int, list[int]] = {}
    for epoch in {each // rows for each in places}:
        order = list(range(rows))
        random.Random(f"{seed}:{epoch}").shuffle(order)  # noqa: S311  (an order, not a secret)
        orders[epoch] = order
    return [orders[each // rows][each % rows] for each in places]
