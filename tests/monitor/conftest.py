"""What the tests of this room share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def stream() -> Callable[[str], list[str]]:
    """The texts of one of the drift streams of the shared data, in order."""
    named = os.environ.get("TIDEMILL_SHARED_DATA")
    folder = (Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data") / "drift_dev"
    if not folder.is_dir():
        pytest.skip(f"the drift streams are not at {folder}; set TIDEMILL_SHARED_DATA")

    def read(name: str) -> list[str]:
        lines = (folder / f"{name}.jsonl").read_text("utf-8").split("\n")
        return [json.loads(line)["text"] for line in lines if line]

    return read
