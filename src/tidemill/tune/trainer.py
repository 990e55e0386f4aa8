"""The process that trains: `python -m tidemill.tune.trainer`.

It reads one line of JSON from standard input, the order, and writes lines of JSON to standard output: what it does, each step,
and at last `done`, or `error`. It lives as long as standard input stays open, so that it dies with its parent, however that
ends; whatever it had finished by then is in its folder.
"""
# pyright: basic
# torch and transformers are typed in part only.

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidemill.core.errors import Invalid, TidemillError

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Carry the order out."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # What libraries print goes to standard error; the lines keep standard output for themselves.
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(event: Mapping[str, Any]) -> None:
        print(json.dumps(event), file=lines, flush=True)

    order = json.loads(sys.stdin.readline() or "{}")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        carry_out(order, tell)
    except TidemillError as error:
        tell({"event": "error", "code": error.code, "message": error.message, "hint": error.hint, "where": error.where})
    except (ImportError, MemoryError, OSError, RuntimeError, ValueError) as error:
        tell({"event": "error", "code": "unavailable", "message": f"{type(error).__name__}: {error}", "hint": ""})
    lines.close()
    os._exit(0)  # libraries' threads are not waited for: everything is written


def carry_out(order: Mapping[str, Any], tell: Any) -> None:
    """Prepare the base, check the template, train, write the adapter and the merged model into the order's folder."""
    import torch  # noqa: PLC0415  (seconds)

    from tidemill.tune.gguf_base import cached_base, merge_adapter  # noqa: PLC0415
    from tidemill.tune.lora import adapter_deltas, save_adapter  # noqa: PLC0415
    from tidemill.tune.recipe import Recipe  # noqa: PLC0415

    torch.set_num_threads(int(order.get("threads") or 1))
    torch.use_deterministic_algorithms(mode=True)
    recipe, folder, gguf_file = Recipe.from_json(order["recipe"]), Path(order["folder"]), Path(order["base"])
    tell({"event": "doing", "what": "preparing the base"})
    base = cached_base(gguf_file, Path(order["cache"]))
    tell({"event": "doing", "what": "reading the rows"})
    model = _train(order, recipe=recipe, base=base, folder=folder, tell=tell)
    tell({"event": "doing", "what": "merging"})
    began = time.monotonic()
    save_adapter(model, folder / "adapter")
    making = folder / "model.making"
    merge_adapter(gguf_file, adapter_deltas(model), making, name=str(order["name"]))
    making.replace(folder / "model.gguf")
    tell({"event": "done", "merge_seconds": time.monotonic() - began, "peak_mb": _peak_mb()})


def _train(order: Mapping[str, Any], *, recipe: Any, base: Path, folder: Path, tell: Any) -> Any:
    from transformers import AutoTokenizer  # noqa: PLC0415

    from tidemill.tune.dpo import train_dpo  # noqa: PLC0415
    from tidemill.tune.sft import train_sft  # noqa: PLC0415
    from tidemill.tune.template import check_template, conversation_tokens  # noqa: PLC0415

    tokenizer: Any = AutoTokenizer.from_pretrained(str(base))

    def render(messages: Any, asks: bool) -> str:  # noqa: FBT001  (as the template has it)
        return str(tokenizer.apply_chat_template(list(messages), add_generation_prompt=asks, tokenize=False))

    def tokenize(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    check_template(order["checks"], render=render, tokenize=tokenize)

    def tokens(row: Mapping[str, Any], answer: str) -> Any:
        try:
            return conversation_tokens(
                row["prompt"], answer, render=render, tokenize=tokenize, end=tokenizer.eos_token, longest=recipe.max_tokens
            )
        except Invalid as error:
            raise Invalid(f"row {row['id']}: {error.message}", where="data", hint=error.hint) from error

    rows = [json.loads(each) for each in Path(order["rows"]).read_text("utf-8").splitlines()]
    if recipe.method == "dpo":
        pairs = [(tokens(each, each["answer"]), tokens(each, each["worse"])) for each in rows]
        return train_dpo(base, pairs, recipe=recipe, folder=folder, tell=tell)
    return train_sft(base, [tokens(each, each["answer"]) for each in rows], recipe=recipe, folder=folder, tell=tell)


def _peak_mb() -> int:
    import resource  # noqa: PLC0415

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "linux" else 1024 * 1024)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
