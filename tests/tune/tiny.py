"""A llama of 40,000 random weights as a GGUF file: small enough to tune and serve it within a test."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

WIDTH, HEADS, KV_HEADS, FFN, LAYERS, CONTEXT = 32, 2, 1, 64, 2, 256
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write_tiny(path: Path, *, architecture: str = "llama", template: str = TEMPLATE) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    tokens = [*SPECIAL, *_byte_characters(), "he", "Ġt"]
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
    writer.add_token_merges(["h e", "Ġ t"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)
    _add_weights(writer, len(tokens))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_weights(writer: gguf.GGUFWriter, vocabulary: int) -> None:
    random = np.random.default_rng(0)
    head = WIDTH // HEADS

    def add(name: str, *shape: int) -> None:
        values = np.ones(shape) if len(shape) == 1 else random.normal(0, 0.2, shape)
        writer.add_tensor(f"{name}.weight", values.astype(np.float32))

    add("token_embd", vocabulary, WIDTH)
    add("output_norm", WIDTH)
    for layer in range(LAYERS):
        at = f"blk.{layer}"
        add(f"{at}.attn_norm", WIDTH)
        add(f"{at}.ffn_norm", WIDTH)
        add(f"{at}.attn_q", WIDTH, WIDTH)
        add(f"{at}.attn_k", head * KV_HEADS, WIDTH)
        add(f"{at}.attn_v", head * KV_HEADS, WIDTH)
        add(f"{at}.attn_output", WIDTH, WIDTH)
        add(f"{at}.ffn_gate", FFN, WIDTH)
        add(f"{at}.ffn_up", FFN, WIDTH)
        add(f"{at}.ffn_down", WIDTH, FFN)


def _byte_characters() -> list[str]:
    """The 256 characters by which byte-level BPE writes bytes (GPT-2's `bytes_to_unicode`)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [each for each in range(256) if each not in plain]
    return [chr(each) for each in plain] + [chr(256 + number) for number in range(len(others))]
