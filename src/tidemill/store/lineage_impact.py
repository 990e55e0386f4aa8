"""What stands on a thing: everything that was made of it, and where that serves or served."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from sqlalchemy import Connection, select

from tidemill.store.lineage import digest_in, lineage_nodes
from tidemill.store.lineage_show import Shown, show
from tidemill.store.lineage_walk import reach
from tidemill.store.tables import index_builds
from tidemill.store.upsert import in_batches

_BEYOND: Final = frozenset({"watched", "allowed", "answered", "against"})
"""Links that say what stood beside a thing, not what was made of it."""
_MOST: Final = 20_000


@dataclass(kw_only=True, slots=True)
class Impact:
    """`counts` by kind of all that was reached; `shown` the newest of each kind; `truncated` says that there is more.

    `releases` and `indexes` are the digests of every release and index reached, `endpoints` the names.
    """

    counts: dict[str, int] = field(default_factory=dict[str, int])
    shown: dict[str, list[Shown]] = field(default_factory=dict[str, list[Shown]])
    releases: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    truncated: bool = False


def impact_of(db: Connection, project: str, *, starts: Sequence[int], own: Collection[int], limit: int, now_ns: int) -> Impact:
    """Everything down from `starts`, without those that are `own`; at most `limit` of each kind are shown."""
    met, truncated = reach(db, starts, "down", without=_BEYOND, most=_MOST)
    kinds: dict[str, list[tuple[int, str]]] = {}
    at = lineage_nodes.c
    for batch in in_batches(met):
        query = select(at.id, at.kind, at.key).where(at.id.in_(batch))
        for row in db.execute(query):
            if row.id not in own:
                kinds.setdefault(row.kind, []).append((row.id, row.key))
    listed: dict[str, list[Shown]] = {}
    for kind, points in kinds.items():
        newest = sorted((each for each, _ in points), reverse=True)[: limit if kind != "endpoint" else 1000]
        listed[kind] = list(show(db, project, newest, now_ns=now_ns).values())
    return Impact(
        counts={kind: len(points) for kind, points in sorted(kinds.items())},
        shown=listed,
        releases=_digests(kinds.get("release", [])),
        indexes=_digests(kinds.get("index", [])),
        truncated=truncated,
    )


def holding_chunk(db: Connection, project: str, document: str, number: int, indexes: Sequence[int]) -> list[int]:
    """Those of the index versions whose build has so many chunks of the document (numbers begin at 1)."""
    at = lineage_nodes.c
    found: list[int] = []
    for batch in in_batches(indexes):
        keys = {row.id: digest_in(row.key) for row in db.execute(select(at.id, at.key).where(at.id.in_(batch)))}
        counts = chunk_counts(db, project, document, [each for each in keys.values() if each])
        found += [each for each, digest in keys.items() if counts.get(digest or "", 0) >= number >= 1]
    return found


def chunk_counts(db: Connection, project: str, document: str, indexes: Sequence[str]) -> dict[str, int]:
    """Into how many chunks each build of an index, by digest, cut a document."""
    query = select(index_builds.c.index_digest, index_builds.c.manifest).where(index_builds.c.project == project)
    found: dict[str, int] = {}
    for row in db.execute(query.where(index_builds.c.index_digest.in_(indexes))):
        manifest = cast("Mapping[str, Sequence[Mapping[str, Any]]]", row.manifest or {})
        for each in manifest.get("documents", ()):
            if each.get("id") == document:
                found[row.index_digest] = int(each.get("chunks") or 0)
    return found


def _digests(points: Sequence[tuple[int, str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(digest for _, key in points if (digest := digest_in(key))))
