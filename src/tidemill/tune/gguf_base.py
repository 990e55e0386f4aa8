"""A GGUF file as a model to train, and a trained adapter as a GGUF file again.

The weights are dequantised once and kept as safetensors; an export adds the adapter's delta to the file's own tensors, so that
everything untouched stays as it was, bit for bit. Only the architecture `llama` is known.
"""
# pyright: basic
# gguf, safetensors and transformers are typed in part only.

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tidemill.core.errors import Invalid

_OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_INNER = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip


def cached_base(gguf_file: Path, folder: Path) -> Path:
    """`folder`, with the model's weights, configuration and tokenizer in the form of transformers; made when missing.

    It is made beside its place and renamed, so that it is whole or not there. Raises `Invalid` for an architecture that cannot
    be trained here.
    """
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    try:
        _write_weights(gguf_file, making)
        _write_tokenizer(gguf_file, making)
        if not folder.exists():
            making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def merge_adapter(gguf_file: Path, deltas: Mapping[str, Callable[[], Any]], target: Path, *, name: str) -> None:
    """Write the GGUF at `target`: the base, each tensor that has a delta changed by it and quantised to 8 bits.

    `deltas` make an array each, by the name of the weight in transformers, as in `model.layers.0.self_attn.q_proj.weight`.
    """
    import gguf  # noqa: PLC0415  (numpy and more: in the trainer's process only)
    import numpy as np  # noqa: PLC0415

    reader = gguf.GGUFReader(gguf_file)
    writer = gguf.GGUFWriter(target, _text(reader, "general.architecture"))
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key in {"general.architecture", "general.name", "general.file_type"}:
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(key, field.contents(), kind, sub_type=inner)
    writer.add_name(name)
    writer.add_file_type(int(gguf.LlamaFileType.MOSTLY_Q8_0))
    left = dict(deltas)
    for tensor in reader.tensors:
        make_delta = left.pop(_name(tensor.name) or "", None)
        if make_delta is None:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        delta = make_delta()
        heads = _heads(reader, tensor.name)
        changed = gguf.quants.dequantize(tensor.data, tensor.tensor_type) + (_permuted(delta, heads) if heads else delta)
        kind = gguf.GGMLQuantizationType.Q8_0 if changed.shape[-1] % 32 == 0 else gguf.GGMLQuantizationType.F16
        writer.add_tensor(tensor.name, gguf.quants.quantize(changed.astype(np.float32), kind), raw_dtype=kind)
    if left:
        raise Invalid(f"the base has no weight {next(iter(left))}", hint="The adapter was made for another base.")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_weights(gguf_file: Path, folder: Path) -> None:
    import gguf  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    from safetensors.numpy import save_file  # noqa: PLC0415

    reader = gguf.GGUFReader(gguf_file)
    architecture = _text(reader, "general.architecture")
    if architecture != "llama":
        raise Invalid(f"a base of the architecture {architecture!r} cannot be tuned here", hint="Name one of llama's.")
    weights: dict[str, Any] = {}
    for tensor in reader.tensors:
        name = _name(tensor.name)
        if name is None:
            continue
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        heads = _heads(reader, tensor.name)
        weights[name] = np.ascontiguousarray(_unpermuted(values, heads) if heads else values, dtype=np.float32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = _config(reader, tied="lm_head.weight" not in weights)
    (folder / "config.json").write_text(json.dumps(config, indent=1), "utf-8")


def _write_tokenizer(gguf_file: Path, folder: Path) -> None:
    from transformers import AutoTokenizer  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(str(gguf_file.parent), gguf_file=gguf_file.name)
    tokenizer.save_pretrained(str(folder))


def _config(reader: Any, *, tied: bool) -> dict[str, Any]:
    width, heads = _number(reader, "llama.embedding_length"), _number(reader, "llama.attention.head_count")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": _number(reader, "llama.feed_forward_length"),
        "num_hidden_layers": _number(reader, "llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _number(reader, "llama.attention.head_count_kv"),
        "head_dim": _number(reader, "llama.rope.dimension_count") or width // heads,
        "max_position_embeddings": _number(reader, "llama.context_length"),
        "rms_norm_eps": float(_value(reader, "llama.attention.layer_norm_rms_epsilon")),
        "rope_theta": float(_value(reader, "llama.rope.freq_base")),
        "vocab_size": _number(reader, "llama.vocab_size"),
        "tie_word_embeddings": tied,
        "bos_token_id": _number(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _number(reader, "tokenizer.ggml.eos_token_id"),
    }


def _name(tensor: str) -> str | None:
    """The weight's name in transformers; None for what is computed there, as rope's frequencies."""
    stem = tensor.removesuffix(".weight")
    if stem in _OUTER:
        return f"{_OUTER[stem]}.weight"
    block, _, part = stem.removeprefix("blk.").partition(".")
    return f"model.layers.{block}.{_INNER[part]}.weight" if part in _INNER else None


def _heads(reader: Any, tensor: str) -> int:
    """How many heads the rows of a tensor are permuted by; 0 when they are not."""
    if tensor.endswith("attn_q.weight"):
        return _number(reader, "llama.attention.head_count")
    return _number(reader, "llama.attention.head_count_kv") if tensor.endswith("attn_k.weight") else 0


def _permuted(values: Any, heads: int) -> Any:
    """Rows as llama.cpp's rotary embedding wants them (`convert_hf_to_gguf.py`, `LlamaModel.permute`)."""
    half = values.shape[0] // heads // 2
    return values.reshape(heads, 2, half, -1).swapaxes(1, 2).reshape(values.shape)


def _unpermuted(values: Any, heads: int) -> Any:
    """The inverse of `_permuted`."""
    half = values.shape[0] // heads // 2
    return values.reshape(heads, half, 2, -1).swapaxes(1, 2).reshape(values.shape)


def _value(reader: Any, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()


def _number(reader: Any, key: str) -> int:
    return int(_value(reader, key) or 0)


def _text(reader: Any, key: str) -> str:
    return str(_value(reader, key) or "")
