"""Embeddings that were paid for once: vectors by embedder and chunk digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, select

from tidemill.store.tables import vectors
from tidemill.store.upsert import in_batches, upsert

_VECTORS = select(vectors.c.chunk, vectors.c.data).where(
    vectors.c.project == bindparam("project"),
    vectors.c.embedder == bindparam("embedder"),
    vectors.c.chunk.in_(bindparam("chunks", expanding=True)),
)


def get_vectors(db: Connection, project: str, embedder_digest: str, chunk_digests: Sequence[str]) -> dict[str, bytes]:
    """The vectors that are known, by chunk digest; each is 32-bit little-endian floats."""
    found: dict[str, bytes] = {}
    for batch in in_batches(chunk_digests):
        rows = db.execute(_VECTORS, {"project": project, "embedder": embedder_digest, "chunks": batch})
        found.update((row.chunk, row.data) for row in rows)
    return found


def put_vectors(db: Connection, project: str, embedder_digest: str, entries: Mapping[str, bytes], *, now_ns: int = 0) -> None:
    """Keep vectors by chunk digest."""
    at = {"project": project, "embedder": embedder_digest, "created_ns": now_ns}
    upsert(db, vectors, [{**at, "chunk": chunk, "data": data} for chunk, data in entries.items()])
