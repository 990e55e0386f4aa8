"""The lock file of the project that code is from: what says which packages, to the version, it runs with."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Final

from tidemill.core.digests import digest_bytes

LOCK_FILES: Final = (
    "uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock", "requirements.lock", "constraints.txt",
)  # fmt: skip
"""In the order in which they are looked for."""
_ROOTS: Final = ("tidemill.toml", "pyproject.toml", "setup.py", ".git")
_LARGEST: Final = 64 * 1024 * 1024
_MOST_LEVELS: Final = 6
_APART: Final = re.compile(r"[-_.]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class LockFile:
    """A lock file: its name and its bytes."""

    name: str
    content: bytes

    @property
    def digest(self) -> str:
        """The digest of its bytes."""
        return digest_bytes(self.content)

    def lacks(self, packages: Iterable[str]) -> list[str]:
        """Those of these packages that it does not name."""
        text = _APART.sub("-", self.content.decode("utf-8", "replace")).lower()
        normal = {each: _APART.sub("-", each).lower() for each in packages}
        return [each for each, name in normal.items() if not re.search(rf"(?<![a-z0-9-]){re.escape(name)}(?![a-z0-9-])", text)]


def find_lock(spec: ModuleSpec | None) -> LockFile | None:
    """The lock file beside a project's top module or package, or above it, up to the project's root.

    Without a module of the project's own it is looked for beside each `tidemill.toml` that modules are looked for beside.
    """
    for folder in _folders(spec):
        for name in LOCK_FILES:
            path = folder / name
            if path.is_file() and path.stat().st_size <= _LARGEST:
                return LockFile(name=name, content=path.read_bytes())
    return None


def _folders(spec: ModuleSpec | None) -> list[Path]:
    place = None if spec is None else (spec.origin or next(iter(spec.submodule_search_locations or ()), None))
    if place is None:
        return [Path(each) for each in sys.path if each and (Path(each) / "tidemill.toml").is_file()]
    path = Path(place)
    start = path.parent.parent if spec is not None and spec.origin and path.name == "__init__.py" else path.parent
    found: list[Path] = []
    for folder in [start, *start.parents][:_MOST_LEVELS]:
        found.append(folder)
        if any((folder / name).exists() for name in _ROOTS):
            return found
    return found[:1]  # no root above it: only what is right beside it is its own
