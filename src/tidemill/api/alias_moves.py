"""Where aliases pointed over time, and taking one away."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection as Database

from tidemill.api.artifacts import alias_tag, version_json
from tidemill.api.caller import AnyCaller, Limit, Page, page
from tidemill.api.etags import IfMatch
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.core.errors import Invalid
from tidemill.core.refs import parse_ref
from tidemill.store import aliases
from tidemill.store.aliases import Alias

router = Router(tags=["artifacts"])


@router.get("/artifacts/{kind}/{name}/moves")
async def list_moves(
    call: AnyCaller, kind: str, name: str, alias: str | None = None, limit: Limit = 100, cursor: str | None = None
) -> Page:
    """Where the aliases pointed over time, newest first; `latest` too. `after` is null for one that was removed."""
    ref = parse_ref(f"{kind}/{name}")
    if cursor is not None and not cursor.isdecimal():
        raise Invalid(f"cursor {cursor!r} is not one of this list")
    before = None if cursor is None else int(cursor)
    found = await call.platform.database.read(
        lambda db: aliases.list_alias_moves(db, call.project, ref, alias=alias, limit=limit + 1, before=before)
    )
    items = [
        {
            "alias": each.alias,
            "before": each.before and f"v{each.before}",
            "after": each.after and f"v{each.after}",
            "by": each.moved_by,
            "why": each.why,
            "at": iso(each.moved_ns),
        }
        for each in found[:limit]
    ]
    return page(items, str(found[limit - 1].id) if len(found) > limit else None)


@router.delete("/artifacts/{kind}/{name}/aliases/{alias}")
async def delete_alias(
    call: AnyCaller, kind: str, name: str, alias: str, if_match: IfMatch, why: str = "", expected: str | None = None
) -> dict[str, Any]:
    """Take an alias away, through the policies that protect it. Answers the version that it pointed to."""
    ref = parse_ref(f"{kind}/{name}")
    now_ns = call.platform.clock.now_ns()

    def work(db: Database) -> Alias:
        if_match.check_state(lambda: alias_tag(aliases.get_alias(db, call.project, ref, alias)))
        return aliases.remove_alias(
            db,
            call.project,
            ref,
            alias,
            policies=call.platform.policies,
            by=call.who,
            role=call.principal.role,
            why=why,
            expected=expected,
            now_ns=now_ns,
        )

    gone = await call.platform.database.write(work)
    return version_json(gone.version) | {"alias": gone.alias}
