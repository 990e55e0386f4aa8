"""The extra that training needs, and the versions that a result depends on."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import platform
from pathlib import Path

from tidemill.core.digests import digest_bytes
from tidemill.core.errors import MissingExtra
from tidemill.version import __version__

_MODULES = ("torch", "transformers", "peft", "gguf", "safetensors")


def require_tune() -> None:
    """Raise `MissingExtra` when a package that training needs is not installed."""
    if any(importlib.util.find_spec(each) is None for each in _MODULES):
        raise MissingExtra("tune", needed_for="tuning a model")


def environment() -> dict[str, str]:
    """What computes: the interpreter, the machine's kind, and each package with its version."""
    packages = {each: importlib.metadata.version(each) for each in (*_MODULES, "numpy")}
    return {"python": platform.python_version(), "machine": platform.machine(), "tidemill": __version__, **packages}


@functools.cache
def code_digest() -> str:
    """The digest of the code that trains: every module of this package."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return digest_bytes(b"".join(each.name.encode() + b"\0" + each.read_bytes() for each in files))
