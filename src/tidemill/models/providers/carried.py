"""The data files of installed packages, without running any of their code."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path


def carried(distribution: str, path: str) -> Path | None:
    """A file of an installed distribution; None without the distribution or the file."""
    try:
        file = Path(str(importlib.metadata.distribution(distribution).locate_file(path)))
    except importlib.metadata.PackageNotFoundError:
        return None
    return file if file.is_file() else None


def origin(distribution: str) -> str:
    """`name version`."""
    return f"{distribution} {importlib.metadata.version(distribution)}"
