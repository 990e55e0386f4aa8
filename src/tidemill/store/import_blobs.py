"""The blobs of an archive. They are named by their content, so that one that nothing names yet does no harm."""

from __future__ import annotations

from typing import Any, Final, cast

from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Invalid
from tidemill.core.json import parse_json
from tidemill.store import tombstones
from tidemill.store.archive import Archive
from tidemill.store.blobs import Blobs
from tidemill.store.export import file_of

_ERASED: Final = ".erased"


def import_blobs(archive: Archive, blobs: Blobs) -> int:
    """Keep every blob that is not here, and what is left of those from which rows were erased; how many were kept.

    Whole or not there, each; so one that a kill cut off is taken in by the next import. Raises `StorageFull`.
    """
    kept = 0
    for name in archive.names("blobs"):
        digest = f"sha256:{name.removesuffix(_ERASED).removeprefix('blobs/').replace('/', '')}"
        if blobs.has(digest):
            continue
        kept += 1
        if name.endswith(_ERASED):
            _keep_left(archive, name, digest, blobs)
            continue
        with blobs.receiving(digest) as take:
            for piece in archive.pieces(name):
                take(piece)
    chain = file_of("audit")
    digest = str(archive.manifest["files"].get(chain, {}).get("digest"))
    if archive.sizes.get(chain) and not blobs.has(digest):
        with blobs.receiving(digest) as take:
            for piece in archive.pieces(chain):
                take(piece)
    return kept


def _keep_left(archive: Archive, name: str, digest: str, blobs: Blobs) -> None:
    head, _, content = b"".join(archive.pieces(name)).partition(b"\n")
    told = cast("dict[str, Any]", parse_json(head, what=name))
    is_whole = [told.get(each) for each in ("schema", "content", "blob")] == [tombstones.SCHEMA, digest_bytes(content), digest]
    if not is_whole or not isinstance(told.get("erased"), list):
        raise Invalid(f"{name} in the archive is not what is left of a blob", hint="Nothing was imported.")
    path = blobs.path(digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    tombstones.write_left(path, digest, content, told["erased"])
