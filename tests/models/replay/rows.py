"""The shared recordings, as exchanges that can be replayed."""

from __future__ import annotations

import base64
import functools
import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from tidemill.testing.replay import Recorded

FOLDER = Path(os.environ.get("TIDEMILL_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data") / "provider_recordings"


@functools.cache
def rows(provider: str) -> tuple[dict, ...]:
    """Every exchange with a provider."""
    lines = (FOLDER / f"{provider}.jsonl").read_text("utf-8").split("\n")
    return tuple(json.loads(line) for line in lines if line)


def path_of(row: dict) -> str:
    """Path and query of the request."""
    parts = urlsplit(row["url"])
    return parts.path + (f"?{parts.query}" if parts.query else "")


def exchange(row: dict) -> Recorded:
    response = row["response"]
    is_stream = isinstance(response, str)
    if row["response_encoding"] == "base64":
        content = base64.b64decode(response)
    elif is_stream:
        content = response.encode()
    else:
        content = json.dumps(response, ensure_ascii=False).encode()
    return Recorded(
        id=row["id"],
        path=path_of(row),
        request=row["request"],
        content=content,
        is_stream=is_stream,
        status=int(row["status"]),
        content_type=row["content_type"] or "",
    )
