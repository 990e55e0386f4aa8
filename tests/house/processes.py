"""Python in a process of its own, with what it may import or look up decided by the test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(*paths: Path, **more: str) -> dict[str, str]:
    """This environment, without Tidemill's own settings; `paths` come first among the places to import from."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
    found = [*map(str, paths), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(found), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"} | more


def python(*arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, *arguments), cwd=cwd, env=env or environment(), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False, timeout=110,
    )  # fmt: skip


def tidemill(*arguments: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return python("-c", "from tidemill.cli.main import main; main()", *arguments, cwd=cwd, env=env)
