"""What stands outside a version's digest, changed without a file."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from sqlalchemy import Connection as Database

from tidemill.api.artifacts import artifact_tag, version_json, version_tag
from tidemill.api.caller import AnyCaller, Body
from tidemill.api.etags import IfMatch
from tidemill.api.router import Router
from tidemill.core.errors import Invalid
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.store.tags import change_tags

router = Router(tags=["artifacts"])


class Outside(Body):
    """Tags by key, null to remove one; what is left out stays. `version` is the one to change, by default the latest."""

    tags: dict[str, str | None] = Field(default_factory=dict[str, str | None])
    description: str | None = None
    owner: str | None = None
    version: str | None = None


@router.patch("/artifacts/{kind}/{name}")
async def change_outside(call: AnyCaller, kind: str, name: str, body: Outside, if_match: IfMatch) -> dict[str, Any]:
    """Change tags, description or owner. The digest stays; an apply of a file sets them to what the file says."""
    ref = parse_ref(f"{kind}/{name}" + (f"@{body.version}" if body.version else ""))
    found = call.platform.kinds.get(kind)
    if found is not None and not found.versioned:
        raise Invalid(f"{ref} has no versions", hint="Change its tags in its file, then apply.")
    now_ns = call.platform.clock.now_ns()

    def work(db: Database) -> Version:
        if_match.check_state(lambda: version_tag(db, call.project, ref) if ref.version else artifact_tag(db, call.project, ref))
        return change_tags(
            db,
            call.project,
            ref,
            by=call.who,
            now_ns=now_ns,
            tags=body.tags,
            description=body.description,
            owner=body.owner,
        )

    return version_json(await call.platform.database.write(work))
