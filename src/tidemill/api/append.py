"""Appending to a dataset: a new version behind the latest, also when two append at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import anyio.to_thread
from sqlalchemy import Connection as Database

from tidemill.api.caller import Caller
from tidemill.core.errors import Conflict
from tidemill.core.json import JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import Ref, check_name
from tidemill.data.append import Appended
from tidemill.store import audit, registry
from tidemill.store.lineage_notes import note_samples
from tidemill.store.projects import ensure_project

_TRIES: Final = 8


async def latest_dataset(call: Caller, name: str) -> tuple[Version | None, bytes]:
    """A dataset's latest version and its rows as lines; None and nothing when there is no such dataset."""
    ref = Ref(kind="dataset", name=check_name(name, what="dataset"))
    version = await call.platform.database.read(lambda db: registry.find_version(db, call.project, ref))
    if version is None:
        return None, b""
    return version, await anyio.to_thread.run_sync(call.platform.blobs(call.project).get, version.blobs["rows"])


async def append_to_dataset(
    call: Caller, name: str, make: Callable[[Version | None, bytes], Appended]
) -> tuple[Version | None, Appended]:
    """Keep what `make` makes of the latest version and its lines as the next one; made again when another came first.

    The version is the one that is latest now, None when there was none and nothing was added. Raises what `make` raises.
    """
    for _ in range(_TRIES):
        latest, lines = await latest_dataset(call, name)
        appended = await anyio.to_thread.run_sync(make, latest, lines)
        if not appended.is_changed:
            return latest, appended
        kept = await _keep(call, name, latest, appended)
        if kept is not None:
            return kept, appended
    raise Conflict(f"dataset/{name} was changed by others {_TRIES} times meanwhile", hint="Try again.")


def appended_json(version: Version | None, appended: Appended) -> dict[str, Any]:
    """What an append did, and the version that is the latest now."""
    return {
        "dataset": None if version is None else version.ref,
        "digest": None if version is None else version.digest,
        "rows": 0 if version is None else version.spec["rows_count"],
        "added": appended.added,
        "filled": appended.filled,
        "known": appended.known,
    }


async def _keep(call: Caller, name: str, latest: Version | None, appended: Appended) -> Version | None:
    digest = await anyio.to_thread.run_sync(call.platform.blobs(call.project).put, appended.lines)
    ref, now_ns = Ref(kind="dataset", name=name), call.platform.clock.now_ns()

    def work(db: Database) -> Version | None:
        now = registry.find_version(db, call.project, ref)
        if (now and now.digest) != (latest and latest.digest):
            return None
        ensure_project(db, call.project, now_ns=now_ns, by=call.who)
        version, _ = registry.add_version(
            db,
            project=call.project,
            kind="dataset",
            name=name,
            parsed_spec=appended.spec,
            refs={},
            blobs={"rows": digest},
            description=latest.description if latest else "",
            tags=latest.tags if latest else {},
            owner=latest.owner if latest else "",
            by=call.who,
            now_ns=now_ns,
        )
        note_samples(
            db, call.project, version, before=latest, traces=appended.traces, feedback=appended.feedback, now_ns=now_ns
        )
        detail: JsonObject = {"digest": version.digest, "added": appended.added, "filled": appended.filled}
        audit.append(db, call.project, who=call.who, action="samples.append", target=version.ref, detail=detail, now_ns=now_ns)
        return version

    return await call.platform.database.write(work)
