"""Vectors of texts, each text embedded once for good."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from tidemill.core.clock import Clock
from tidemill.core.digests import digest_bytes
from tidemill.core.extend import load_extension
from tidemill.core.json import JsonObject
from tidemill.core.records import Progress, Version
from tidemill.data.vectors import pack_rows
from tidemill.models.caller import Caller
from tidemill.models.service import Models
from tidemill.store import embeddings
from tidemill.store.database import Database
from tidemill.store.registry import digest_of

if TYPE_CHECKING:
    from tidemill.monitor.mmd import Rows

Report: TypeAlias = Callable[[Progress], Awaitable[None]]
_BATCH: Final = 256
_LONGEST: Final = 8_000  # characters; a request says what it is about before then


def local_embedder(project: str) -> Version:
    """The embedder that is taken when a monitor names none: the local MiniLM."""
    model = str(getattr(load_extension("embed_providers", "local"), "default_model", ""))
    spec: JsonObject = {"provider": "local", "model": model}
    digest = digest_of("embedder", spec=spec, refs={}, blobs={})  # as of a document that says the same: vectors are shared
    return Version(project=project, kind="embedder", name="local", number=0, digest=digest, spec=spec)


async def embed_texts(
    texts: Sequence[str],
    *,
    embedder: Version,
    models: Models,
    database: Database,
    project: str,
    environment: str,
    clock: Clock,
    report: Report,
) -> Rows:
    """A row of length 1 for each text, (N, d). What was embedded before is taken from the store; progress counts texts.

    Raises `MissingExtra` where the local embedder is not installed, and what the embedder's provider raises.
    """
    shortened = [text[:_LONGEST] for text in texts]
    digests = [digest_bytes(text.encode("utf-8", "replace")) for text in shortened]
    by_digest = dict(zip(digests, shortened, strict=True))
    known = await database.read(lambda db: embeddings.get_vectors(db, project, embedder.digest, list(by_digest)))
    missing = [each for each in by_digest if each not in known]
    for start in range(0, len(missing), _BATCH):
        await report(Progress(done=len(by_digest) - len(missing) + start, total=len(by_digest), unit="texts embedded"))
        batch = missing[start : start + _BATCH]
        answer = await models.embed(embedder, [by_digest[each] for each in batch], caller=Caller.internal(project, environment))
        fresh = {each: answer.vectors.row(place) for place, each in enumerate(batch)}
        put = functools.partial(
            embeddings.put_vectors, project=project, embedder_digest=embedder.digest, entries=fresh, now_ns=clock.now_ns()
        )
        await database.write(put)
        known.update(fresh)
    return pack_rows([known[each] for each in digests])
