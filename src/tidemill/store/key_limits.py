"""What a key may use, changed while it is in use."""

from __future__ import annotations

from sqlalchemy import Connection, update

from tidemill.core.errors import Conflict
from tidemill.core.json import JsonObject
from tidemill.store import audit
from tidemill.store.access import Key, get_key
from tidemill.store.tables import keys


def change_key(db: Connection, project: str, key_id: str, *, limits: JsonObject | None, now_ns: int, by: str = "") -> Key:
    """Give a key other limits, in use or not; None: none of its own. Raises `NotFound`, `Conflict` for one that is revoked."""
    key = get_key(db, project, key_id)
    if key.revoked_ns is not None:
        raise Conflict(f"key {key_id} is revoked", hint="Make another one: tidemill keys create")
    if key.limits != limits:
        db.execute(update(keys).where(keys.c.id == key_id, keys.c.project == project).values(limits=limits))
        detail: JsonObject = {"before": key.limits, "limits": limits}
        audit.append(db, project, who=by, action="key.limits", target=f"key/{key_id}", detail=detail, now_ns=now_ns)
    return get_key(db, project, key_id)
