"""A sentence embedding: tokens, transformer, mean over the tokens, unit length. Blocking: runs in a thread.

A model whose first output is one vector a text, and not one a token, has pooled already.
"""
# pyright: basic
# onnxruntime and tokenizers are typed in part only.

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidemill.core.errors import Invalid

MOST_TOKENS = 256


class MiniLM:
    """all-MiniLM-L6-v2, or a model of its kind. Thread-safe, since a session's run and a tokenizer's encode are.

    Raises `Invalid` for files that do not load, or a model that wants something else than tokens.
    """

    def __init__(self, weights: Path, tokenizer: Path) -> None:
        import onnxruntime  # noqa: PLC0415  (120 ms, and only where embeddings are made here)
        from tokenizers import Tokenizer  # noqa: PLC0415  (as above)

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
            self._tokenizer: Any = Tokenizer.from_file(str(tokenizer))
        except Exception as error:  # both libraries raise what is no more than an Exception
            raise Invalid(f"the embedder does not load: {str(error).splitlines()[0][:200]}", hint="Export it again.") from error
        self._inputs = [each.name for each in self._session.get_inputs()]
        unknown = set(self._inputs) - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown:
            raise Invalid(
                f"the embedder wants {', '.join(sorted(unknown))}, which tokens do not give", hint="Use another export."
            )
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
        hidden = self._session.run(None, {name: feed[name] for name in self._inputs})[0]
        weights = mask[..., None].astype(np.float32)
        means = hidden.copy() if hidden.ndim == 2 else (hidden * weights).sum(1) / weights.sum(1)
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        return [row.tobytes() for row in means.astype("<f4")]
