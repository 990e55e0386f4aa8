"""A sentence embedding: tokens, transformer, mean over the tokens, unit length. Blocking: runs in a thread."""
# pyright: basic
# onnxruntime and tokenizers are typed in part only.

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

MOST_TOKENS = 256


class MiniLM:
    """all-MiniLM-L6-v2. Thread-safe, since a session's run and a tokenizer's encode are."""

    dimensions = 384

    def __init__(self, weights: Path, tokenizer: Path) -> None:
        import onnxruntime  # noqa: PLC0415  (120 ms, and only where embeddings are made here)
        from tokenizers import Tokenizer  # noqa: PLC0415  (as above)

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        self._tokenizer: Any = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(MOST_TOKENS)
        # The file says to pad all to 128 tokens; padding is done here, to the longest of a group.
        self._tokenizer.no_padding()

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, at most 256."""
        return [each.ids for each in self._tokenizer.encode_batch_fast(list(texts))]

    def vectors(self, tokens: Sequence[Sequence[int]]) -> list[bytes]:
        """A unit vector for each list of token ids, as 32-bit floats."""
        import numpy as np  # noqa: PLC0415  (as above)

        longest = max(map(len, tokens))
        ids = np.zeros((len(tokens), longest), np.int64)
        mask = np.zeros((len(tokens), longest), np.int64)
        for row, each in enumerate(tokens):
            ids[row, : len(each)] = each
            mask[row, : len(each)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._session.run(None, feed)[0]
        weights = mask[..., None].astype(np.float32)
        means = (hidden * weights).sum(1) / weights.sum(1)
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        return [row.tobytes() for row in means.astype("<f4")]
