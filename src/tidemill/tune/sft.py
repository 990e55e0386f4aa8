"""Supervised fine-tuning: say the answer, given the conversation. LoRA: Hu et al. 2021, arXiv:2106.09685."""
# pyright: basic
# torch is typed in part only.

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidemill.tune.course import Course, Tell, rows_of_step
from tidemill.tune.lora import adapter_parameters, answer_logprobs, load_with_adapter
from tidemill.tune.packing import Tokens, packs
from tidemill.tune.recipe import Recipe


def train_sft(base: Path, rows: Sequence[Tokens], *, recipe: Recipe, folder: Path, tell: Tell) -> Any:
    """Train an adapter for the base; the model with the adapter.

    The loss of a step is the mean of `-log p(token | what stands before)` over the answers' tokens of its rows.
    """
    model = load_with_adapter(base, recipe)
    model.train()
    course = Course(adapter_parameters(model), recipe=recipe, folder=folder, tell=tell)
    for step in course.steps():
        batch = [rows[each] for each in rows_of_step(step, rows=len(rows), batch=recipe.batch, seed=recipe.seed)]
        learnt = sum(sum(each.learnt) for each in batch)
        loss = 0.0
        for _, pack in packs(batch):
            part = -answer_logprobs(model, pack).sum() / learnt
            part.backward()
            loss += float(part.detach())
        course.step(loss, tokens=sum(len(each.ids) for each in batch))
    return model
