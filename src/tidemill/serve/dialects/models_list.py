"""`GET /v1/models` in one form that clients of OpenAI's and of Anthropic's dialect both read.

https://platform.openai.com/docs/api-reference/models · https://docs.anthropic.com/en/api/models-list
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tidemill.core.json import JsonObject


def model_entry(name: str, *, created: int, project: str) -> JsonObject:
    """One model. `created` is in seconds since the epoch."""
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": project,
        "type": "model",
        "display_name": name,
        "created_at": datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def model_list(entries: Sequence[JsonObject]) -> JsonObject:
    """All of them, on one page."""
    ends = {"first_id": entries[0]["id"], "last_id": entries[-1]["id"]} if entries else {"first_id": None, "last_id": None}
    return {"object": "list", "data": entries, "has_more": False, **ends}
