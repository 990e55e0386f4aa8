"""llama.cpp, through xllamacpp: an HTTP server on loopback over one GGUF file. Used in the engine's own process only."""
# pyright: basic
# xllamacpp has no types.

from __future__ import annotations

from typing import Any


def serve(path: str, *, key: str, context: int, slots: int) -> tuple[str, object]:
    """Load the model and listen; the URL, and the server to keep a hold of. `context` is in tokens for each of `slots`."""
    import xllamacpp  # noqa: PLC0415  (100 MB of native code)

    engine: Any = xllamacpp
    params = engine.CommonParams()
    params.model.path = path
    params.model_alias = {"local"}
    params.n_ctx = context * slots
    params.n_parallel = slots
    # Small batches let two conversations, and a cancellation, get in between the pieces of a long prompt.
    params.n_batch = params.n_ubatch = 256
    params.n_gpu_layers = 0
    params.warmup = False
    params.verbosity = 0
    params.cache_ram_mib = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.api_keys = [key]
    server = engine.Server(params)
    return str(server.listening_address), server
