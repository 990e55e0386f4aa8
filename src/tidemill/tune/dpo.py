"""Direct preference optimisation: rather this answer than that. Rafailov et al. 2023, arXiv:2305.18290, equation 7."""
# pyright: basic
# torch is typed in part only.

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidemill.tune.course import Course, Tell, rows_of_step
from tidemill.tune.lora import adapter_parameters, answer_logprobs, load_with_adapter
from tidemill.tune.packing import Pack, Tokens, packs
from tidemill.tune.recipe import Recipe


def train_dpo(base: Path, pairs: Sequence[tuple[Tokens, Tokens]], *, recipe: Recipe, folder: Path, tell: Tell) -> Any:
    """Train an adapter for the base from pairs of a better and a worse answer; the model with the adapter.

    The loss of a pair is `-log sigmoid(beta * (gain of the better - gain of the worse))`, where an answer's gain is its
    log probability under the model less that under the base, which is the same model with its adapter switched off.
    """
    import torch  # noqa: PLC0415

    model = load_with_adapter(base, recipe)
    model.train()
    course = Course(adapter_parameters(model), recipe=recipe, folder=folder, tell=tell)
    references: dict[int, Any] = {}
    for step in course.steps():
        chosen = rows_of_step(step, rows=len(pairs), batch=recipe.batch, seed=recipe.seed)
        loss = 0.0
        for places, pack in packs([each for at in chosen for each in pairs[at]], together=2):
            numbers = [chosen[each // 2] for each in places[::2]]
            if any(each not in references for each in numbers):
                with torch.no_grad(), model.disable_adapter():
                    references |= dict(zip(numbers, _answers(model, pack), strict=True))
            gain = _answers(model, pack) - torch.stack([references[each] for each in numbers])
            part = -torch.nn.functional.logsigmoid(recipe.beta * (gain[:, 0] - gain[:, 1])).sum() / len(chosen)
            part.backward()
            loss += float(part.detach())
        course.step(loss, tokens=sum(len(each.ids) for at in chosen for each in pairs[at]))
    return model


def _answers(model: Any, pack: Pack) -> Any:
    """The log probability of each answer of a pack: a line a pair, the better one first."""
    import torch  # noqa: PLC0415

    rows = torch.tensor([each[2] for each in pack.answers])
    return torch.zeros(pack.rows).index_add(0, rows, answer_logprobs(model, pack)).reshape(-1, 2)
