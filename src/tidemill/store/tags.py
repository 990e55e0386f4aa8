"""What stands outside a version's digest: description, tags and owner, changed without a new version."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sqlalchemy import Connection, update

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import Ref, parse_ref
from tidemill.store import audit
from tidemill.store.registry import get_version
from tidemill.store.tables import versions

MOST_TAGS = 64
_KEY = re.compile(r"[^\W_][\w.:/ -]{0,127}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST_VALUE = 1024
_LONGEST_TEXT = 10_000


def change_tags(
    db: Connection,
    project: str,
    ref: Ref | str,
    *,
    by: str,
    now_ns: int,
    tags: Mapping[str, str | None] | None = None,
    description: str | None = None,
    owner: str | None = None,
) -> Version:
    """Set tags (None removes one), description and owner of the version that `ref` names; what is not given stays.

    Raises `Invalid` for a key or a text that is too long or holds control characters. A later apply of a file sets them to
    what the file says.
    """
    old = get_version(db, project, parse_ref(ref) if isinstance(ref, str) else ref)
    now = dict(old.tags)
    for key, value in (tags or {}).items():
        if value is None:
            now.pop(key, None)
        else:
            now[check_tag(key)] = _text(value, what=f"the tag {key}", longest=_LONGEST_VALUE)
    if len(now) > MOST_TAGS:
        raise Invalid(f"{old.ref} would have {len(now)} tags, more than {MOST_TAGS}", hint="Remove some: tidemill tag REF KEY=")
    wanted: dict[str, Json] = {
        "tags": now,
        "description": old.description if description is None else _text(description, what="the description", lines=True),
        "owner": old.owner if owner is None else _text(owner, what="the owner", longest=_LONGEST_VALUE),
    }
    changed: JsonObject = {name: each for name, each in wanted.items() if each != getattr(old, name)}
    if not changed:
        return old
    where = {"project": project, "kind": old.kind, "name": old.name, "number": old.number}
    db.execute(update(versions).filter_by(**where).values(**changed))
    detail: JsonObject = {"before": {name: getattr(old, name) for name in changed}, "after": changed}
    audit.append(db, project, who=by, action="tag", target=old.ref, detail=detail, now_ns=now_ns)
    return get_version(db, project, Ref(kind=old.kind, name=old.name, version=f"v{old.number}"))


def check_tag(key: str) -> str:
    """Return a tag's key when it can be one, else raise `Invalid`."""
    if _KEY.fullmatch(key) is None:
        raise Invalid(
            f"the tag {key[:140]!r} is not allowed",
            hint="Use 1 to 128 letters, digits, spaces and . : / _ - and begin with a letter or a digit.",
        )
    return key


def _text(text: str, *, what: str, longest: int = _LONGEST_TEXT, lines: bool = False) -> str:
    if len(text) > longest:
        raise Invalid(f"{what} has {len(text)} characters, more than {longest}", hint="Shorten it.")
    if _CONTROL.search(text.replace("\n", "") if lines else text):
        raise Invalid(f"{what} holds a control character", hint="Write it without.")
    return text
