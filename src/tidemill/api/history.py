"""An artifact's past: its versions with who, when, why and where; and which version brought each line of a prompt."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from sqlalchemy import Connection as Database

from tidemill.api.artifacts import version_json
from tidemill.api.caller import AnyCaller, Limit, Page, page
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.prompts.blame import blame
from tidemill.store import history
from tidemill.store.history import Past
from tidemill.store.page import Page as Found

router = Router(tags=["artifacts"])


@router.get("/artifacts/{kind}/{name}/history")
async def get_history(call: AnyCaller, kind: str, name: str, limit: Limit = 50, cursor: str | None = None) -> Page:
    """Every version, the newest first: who made it when, and what changed from the one that it was made from.

    With the aliases that point there and pointed there, and why, and the endpoints that serve it now.
    """
    ref = parse_ref(f"{kind}/{name}")
    blobs = call.platform.blobs(call.project)

    def work(db: Database) -> Found[Past]:
        return history.list_history(db, call.project, ref, kinds=call.platform.kinds, blobs=blobs, limit=limit, cursor=cursor)

    found = await call.platform.database.read(work)
    items = await anyio.to_thread.run_sync(lambda: [_past_json(each) for each in found.items])
    return page(items, found.next)


@router.get("/prompts/{name}/blame")
async def get_blame(call: AnyCaller, name: str, version: str | None = None) -> dict[str, Any]:
    """Each line of a prompt with the version that brought it, who made that and when. `version` is the latest unless given."""
    ref = parse_ref(f"prompt/{name}@{version}" if version else f"prompt/{name}")
    versions = await call.platform.database.read(lambda db: history.descent(db, call.project, ref))
    found = await anyio.to_thread.run_sync(blame, [((each, by), each.spec) for each, by in versions])
    lines = [
        {"message": each.line.message, "role": each.line.role, "line": each.line.line, "text": each.line.text}
        | _origin_json(*each.origin)
        for each in found
    ]
    return {"ref": versions[0][0].ref, "digest": versions[0][0].digest, "lines": lines}


def _origin_json(version: Version, by: str) -> dict[str, Any]:
    return {"version": f"v{version.number}", "ref": version.ref, "by": by, "at": iso(version.created_ns)}


def _past_json(past: Past) -> dict[str, Any]:
    lines = past.difference.bounded_lines()
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return version_json(past.version) | {
        "by": past.by,
        "parent": past.parent and f"v{past.parent}",
        "summary": (lines[0] + more) if lines else ("content changed" if past.parent else "new"),
        "details": list(lines),
        "aliases": list(past.aliases),
        "moves": [
            {
                "alias": each.alias,
                "before": each.before and f"v{each.before}",
                "by": each.by,
                "why": each.why,
                "at": iso(each.at_ns),
            }
            for each in past.moves
        ],
        "served": list(past.served),
    }
