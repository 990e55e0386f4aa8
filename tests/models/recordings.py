"""The shared recordings of real providers, where this machine has them."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

_FOLDER = Path(os.environ.get("TIDEMILL_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")


def recordings(*providers: str, path: str) -> list[dict]:
    """Every exchange with one of the providers at a URL that ends with `path` (a query aside). Skips without the data."""
    rows = []
    for provider in providers:
        file = _FOLDER / "provider_recordings" / f"{provider}.jsonl"
        if not file.is_file():
            pytest.skip(f"no recordings at {file}; set TIDEMILL_SHARED_DATA to the folder that holds them")
        rows += [json.loads(line) for line in file.read_text("utf-8").split("\n") if line]
    return [
        row for row in rows if row["url"].partition("?")[0].partition("#")[0].endswith(path) and row["response"] is not None
    ]


def stream_fixtures(provider: str, api: str = "") -> list[dict]:
    """Recorded streams, one event a line. Skips without the data."""
    file = _FOLDER / "sdk_stream_fixtures" / "rows.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"no recordings at {file}; set TIDEMILL_SHARED_DATA to the folder that holds them")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row for row in rows if row["provider"] == provider and row["api"] == api and row["kind"] == "stream"]
