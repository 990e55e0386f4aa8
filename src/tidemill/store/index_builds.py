"""What building an index gave: its manifest and the blobs that hold its chunks and vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from sqlalchemy import Connection, select

from tidemill.core.json import Json
from tidemill.core.records import Version
from tidemill.store.lineage_notes import note_build
from tidemill.store.tables import index_builds, versions
from tidemill.store.upsert import upsert


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexBuild:
    """One index version's build; `blobs` maps a role to a digest."""

    index_digest: str
    status: str
    manifest: Json = None
    blobs: Mapping[str, str] = field(default_factory=dict[str, str])
    updated_ns: int = 0


def get_build(db: Connection, project: str, index_digest: str) -> IndexBuild | None:
    """The build of the index version with this digest, or None when it was never begun."""
    row = db.execute(select(index_builds).filter_by(project=project, index_digest=index_digest)).first()
    if row is None:
        return None
    return IndexBuild(
        index_digest=row.index_digest, status=row.status, manifest=row.manifest, blobs=row.blobs, updated_ns=row.updated_ns
    )


def put_build(db: Connection, project: str, build: IndexBuild) -> None:
    """Keep a build in place of the one before."""
    row = {"index_digest": build.index_digest, "status": build.status, "manifest": build.manifest, "blobs": dict(build.blobs)}
    upsert(db, index_builds, [{"project": project, **row, "updated_ns": build.updated_ns}])
    _note(db, project, build)


def _note(db: Connection, project: str, build: IndexBuild) -> None:
    """Keep the documents of every index version of this content, or, of a pointer, of the version that it points to."""
    manifest: Mapping[str, Json] = build.manifest if isinstance(build.manifest, Mapping) else {}
    digest, name = build.index_digest, None
    if build.status == "pointer":
        digest, name = str(manifest.get("digest")), build.index_digest.removeprefix("index/")
        found = get_build(db, project, digest)
        manifest = found.manifest if found is not None and isinstance(found.manifest, Mapping) else {}
    documents = cast("Sequence[Mapping[str, Json]]", manifest.get("documents") or ())
    if documents:
        query = select(versions.c.name, versions.c.number, versions.c.spec).filter_by(
            project=project, kind="index", digest=digest
        )
        for row in db.execute(query if name is None else query.filter_by(name=name)).all():
            index = Version(project=project, kind="index", name=row.name, number=row.number, digest=digest, spec=row.spec)
            note_build(db, project, index, documents, now_ns=build.updated_ns)
