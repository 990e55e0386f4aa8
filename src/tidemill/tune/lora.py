"""A base with an adapter to train, and the adapter as files and as changes of the base's weights."""
# pyright: basic
# torch, transformers and peft are typed in part only.

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidemill.tune.packing import Pack
from tidemill.tune.recipe import Recipe


def load_with_adapter(base: Path, recipe: Recipe) -> Any:
    """The base, frozen, with a fresh adapter: its second matrix is zero, so that at first it answers as the base does."""
    import torch  # noqa: PLC0415  (seconds, and only in the trainer's process)
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415
    from transformers import LlamaForCausalLM  # noqa: PLC0415

    torch.manual_seed(recipe.seed)
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="sdpa")
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,  # type: ignore[arg-type]  (a whole number is asked for, any number works)
        lora_dropout=recipe.dropout,
        target_modules=list(recipe.targets),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def answer_logprobs(model: Any, pack: Pack) -> Any:
    """The natural-log probability of each learnt token of a pack, in the order of `pack.answers`.

    Only the places that must say something go through the output layer, which is a fifth of a small model's work.
    """
    import torch  # noqa: PLC0415

    owners, places = torch.tensor(pack.owners), torch.arange(len(pack.ids))
    sees = (places[None, :] <= places[:, None]) & ((owners[None, :] == 0) | (owners[None, :] == owners[:, None]))
    mask = torch.zeros(sees.shape).masked_fill(~sees, torch.finfo(torch.float32).min)
    inner = model.get_base_model()
    hidden = inner.model(
        input_ids=torch.tensor([pack.ids]),
        position_ids=torch.tensor([pack.positions]),
        attention_mask=mask[None, None],
        use_cache=False,
    ).last_hidden_state[0]
    at = torch.tensor([each[0] for each in pack.answers])
    said = torch.tensor([each[1] for each in pack.answers])
    return -torch.nn.functional.cross_entropy(inner.lm_head(hidden[at]).float(), said, reduction="none")


def adapter_parameters(model: Any) -> dict[str, Any]:
    """What is trained, by name."""
    return {name: each for name, each in model.named_parameters() if each.requires_grad}


def save_adapter(model: Any, folder: Path) -> None:
    """`adapter_model.safetensors` and `adapter_config.json`, as peft reads them. No path of this machine is in them."""
    model.save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text("utf-8")) | {"base_model_name_or_path": None, "revision": None}
    config["target_modules"] = sorted(config["target_modules"])
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", "utf-8")


def adapter_deltas(model: Any) -> dict[str, Callable[[], Any]]:
    """What the adapter adds to each weight of the base, by the weight's name in transformers; computed when called."""
    import torch  # noqa: PLC0415

    def delta_of(module: Any) -> Callable[[], Any]:
        def delta() -> Any:
            with torch.no_grad():
                return module.get_delta_weight("default").numpy()

        return delta

    modules = model.get_base_model().named_modules()
    return {f"{name}.weight": delta_of(module) for name, module in modules if hasattr(module, "lora_A")}
