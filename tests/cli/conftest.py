"""Running the command line: in this process for what it prints, in a process of its own for how it ends."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from tidemill.cli.main import run

TIDEMILL = (sys.executable, "-c", "from tidemill.cli.main import main; main()")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [each for each in os.environ if each.startswith("TIDEMILL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def tidemill() -> Callable[..., Ended]:
    """Run a command in this process."""

    def call(*arguments: str) -> Ended:
        # Never closed, unlike what pytest captures into: loggers of libraries keep the stream that they first saw.
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run(arguments)
        return Ended(code=code, out=out.getvalue(), err=err.getvalue())

    return call


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., Ended]:
    """Run a command in a process of its own, as a script would."""

    def call(*arguments: str) -> Ended:
        ended = subprocess.run(
            (*TIDEMILL, *arguments), cwd=tmp_path, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        return Ended(code=ended.returncode, out=ended.stdout, err=ended.stderr)

    return call
