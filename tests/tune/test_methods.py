"""The methods on a tiny model: packed or not, resumed or not, a run is the same; and it is what the papers and TRL say."""

from __future__ import annotations

import importlib.util
import json
import math
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from tidemill.core.errors import Invalid
from tidemill.tune.kinds import TuneKind
from tidemill.tune.packing import Tokens, pack_rows
from tidemill.tune.recipe import Recipe, recipe_for

pytestmark = [
    pytest.mark.skipif(
        any(importlib.util.find_spec(each) is None for each in ("torch", "transformers", "peft", "gguf")),
        reason="the extra tune is not installed",
    ),
    pytest.mark.filterwarnings("ignore"),  # what torch and transformers say of their own future
]
END = 2


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    from tune.tiny import write_tiny

    folder = tmp_path_factory.mktemp("base")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tidemill.tune.gguf_base import cached_base

        return cached_base(write_tiny(folder / "tiny.gguf"), folder / "base")


def recipe(**changes) -> Recipe:
    body = {"base": "model/m", "data": "dataset/d", "steps": 6, "batch": 4, "checkpoint_every": 2, "lora": {"rank": 4}}
    made = recipe_for(TuneKind().parse({**body, "learning_rate": 0.05}, files=None).spec, rows=8)
    return replace(made, **changes)


def row(number: int, answer: int) -> Tokens:
    ids = (1, 30, 31, 40 + number, 41, answer, END)
    return Tokens(ids=ids, learnt=(False,) * 5 + (True, True))


ROWS = [row(each, 60 + each % 3) for each in range(8)]


class Cut(Exception):
    """As a kill would."""


def run_sft(base: Path, folder: Path, *, until: int | None = None, **changes):
    from tidemill.tune.sft import train_sft

    folder.mkdir(exist_ok=True)
    events: list[dict] = []

    def tell(event) -> None:
        events.append(dict(event))
        if event["event"] == "step" and event["step"] == until:
            raise Cut

    try:
        model = train_sft(base, ROWS, recipe=recipe(**changes), folder=folder, tell=tell)
    except Cut:
        model = None
    return model, [each["loss"] for each in events if each["event"] == "step"], events[0]


def weights(model) -> dict[str, list[float]]:
    from tidemill.tune.lora import adapter_parameters

    return {name: each.detach().flatten().tolist() for name, each in adapter_parameters(model).items()}


def test_the_loss_falls_and_the_answers_are_learnt(base, tmp_path):
    _, losses, _ = run_sft(base, tmp_path / "run", steps=30)
    assert losses[0] > 3
    assert losses[-1] < losses[0] / 3


def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not_been(base, tmp_path):
    whole, losses, _ = run_sft(base, tmp_path / "whole", dropout=0.1)
    _, before, _ = run_sft(base, tmp_path / "cut", until=5, dropout=0.1)
    resumed, after, began = run_sft(base, tmp_path / "cut", dropout=0.1)
    assert before == losses[:5]
    assert began["step"] == 4  # the checkpoint of step 4; step 5 is done again
    assert after == losses[4:]
    assert weights(resumed) == weights(whole)
    kept = [json.loads(each) for each in (tmp_path / "cut" / "losses.jsonl").read_text().splitlines()]
    assert kept == [[number, loss] for number, loss in enumerate(losses, 1)]


def test_another_seed_is_another_run(base, tmp_path):
    assert run_sft(base, tmp_path / "a", seed=1)[1] != run_sft(base, tmp_path / "b", seed=2)[1]


def test_a_pack_gives_the_probabilities_of_its_rows_alone(base):
    import torch

    from tidemill.tune.lora import answer_logprobs, load_with_adapter

    model = load_with_adapter(base, recipe())
    with torch.no_grad():
        for each in model.parameters():
            each.add_(0.01)  # so that the adapter does something
        together = answer_logprobs(model, pack_rows(ROWS)).tolist()
        alone: list[float] = []
        for each in ROWS:
            logits = model(torch.tensor([each.ids])).logits[0].log_softmax(-1)
            alone += [float(logits[at - 1, each.ids[at]]) for at in range(len(each.ids)) if each.learnt[at]]
    assert together == pytest.approx(alone, abs=1e-5)


def test_a_loss_that_is_not_a_number_stops_the_run_and_keeps_the_last_good_checkpoint(base, tmp_path, monkeypatch):
    import torch

    from tidemill.tune import sft

    calls = 0

    def poisoned(model, pack):
        nonlocal calls
        calls += 1
        found = real(model, pack)
        return found * float("nan") if calls == 4 else found

    real = sft.answer_logprobs
    monkeypatch.setattr(sft, "answer_logprobs", poisoned)
    with pytest.raises(Invalid, match="the loss is nan at step 4") as caught:
        run_sft(base, tmp_path / "run")
    assert "The checkpoint of step 2 is kept" in caught.value.hint
    assert "learning_rate (now 0.05)" in caught.value.hint
    kept = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert kept["done"] == 2
    assert all(bool(torch.isfinite(each).all()) for each in kept["adapter"].values())
    monkeypatch.setattr(sft, "answer_logprobs", real)
    assert run_sft(base, tmp_path / "run")[2]["step"] == 2


def run_dpo(base: Path, folder: Path, **changes):
    from tidemill.tune.dpo import train_dpo

    pairs = [(row(each, 60), row(each, 70)) for each in range(8)]
    folder.mkdir(exist_ok=True)
    losses: list[float] = []
    tell = lambda event: losses.append(event["loss"]) if event["event"] == "step" else None  # noqa: E731
    return train_dpo(base, pairs, recipe=recipe(method="dpo", **changes), folder=folder, tell=tell), losses


def test_dpo_starts_at_log_two_and_comes_to_prefer_the_better_answer(base, tmp_path):
    import torch

    from tidemill.tune.lora import answer_logprobs

    model, losses = run_dpo(base, tmp_path / "run", steps=20, learning_rate=0.01)
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)
    assert losses[-1] < 0.6
    with torch.no_grad():
        model.eval()
        better = answer_logprobs(model, pack_rows([row(0, 60)]))[0]
        worse = answer_logprobs(model, pack_rows([row(0, 70)]))[0]
        gained = float(better - worse)
        with model.disable_adapter():
            before = float(
                answer_logprobs(model, pack_rows([row(0, 60)]))[0] - answer_logprobs(model, pack_rows([row(0, 70)]))[0]
            )
    assert gained > before + 0.5


def test_an_adapter_of_another_base_cannot_be_merged(base, tmp_path):
    from tidemill.tune.gguf_base import merge_adapter

    gguf_file = base.parent / "tiny.gguf"
    with pytest.raises(Invalid, match=r"the base has no weight model\.layers\.9"):
        merge_adapter(gguf_file, {"model.layers.9.mlp.up_proj.weight": list}, tmp_path / "m.gguf", name="m")


def test_an_architecture_that_is_not_known_is_refused(tmp_path):
    from tidemill.tune.gguf_base import cached_base
    from tune.tiny import write_tiny

    with pytest.raises(Invalid, match="architecture 'mamba' cannot be tuned"):
        cached_base(write_tiny(tmp_path / "m.gguf", architecture="mamba"), tmp_path / "base")
    assert not (tmp_path / "base").exists()


def test_the_merged_file_answers_as_the_model_with_its_adapter(base, tmp_path):
    import numpy as np
    import torch
    from safetensors.numpy import load_file

    from tidemill.tune.gguf_base import cached_base, merge_adapter
    from tidemill.tune.lora import adapter_deltas

    model, _, _ = run_sft(base, tmp_path / "run", steps=10)
    merge_adapter(base.parent / "tiny.gguf", adapter_deltas(model), tmp_path / "m.gguf", name="tuned")
    merged = load_file(cached_base(tmp_path / "m.gguf", tmp_path / "merged") / "model.safetensors")
    with torch.no_grad():
        wanted = {name: each.numpy() for name, each in model.merge_and_unload().state_dict().items()}
    assert set(merged) <= set(wanted)
    for name, values in merged.items():
        # 8 bits: a block of 32 weights shares a scale, so each is off by half a step at most
        assert np.abs(values - wanted[name]).max() <= np.abs(wanted[name]).max() / 127, name
