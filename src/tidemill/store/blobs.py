"""Content-addressed bytes in a folder, a namespace per project: `blobs/<project>/ab/cdef…`.

A blob of rows of which some were erased is gone; beside its place, in `cdef….erased`, stands what is left of it: see
`tidemill.store.tombstones`. Reading it gives the lines that are left, an empty one for each that was erased.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from pathlib import Path
from typing import Literal, Self, TypeAlias

from tidemill.core.digests import digest_bytes, digest_file
from tidemill.core.errors import Invalid, NotFound, Unavailable
from tidemill.core.json import JsonObject
from tidemill.core.refs import check_name, is_digest
from tidemill.store import tombstones
from tidemill.store.disk import disk_errors, sync_folder, write_whole, writing

BlobState: TypeAlias = Literal["ok", "erased", "missing", "damaged"]


class Blobs:
    """One project's blobs below `root`. Whole or not there: a blob is written beside its place, synced, then renamed.

    `users` tells what uses a digest, as in `dataset/questions@v2 rows`, so that a damaged blob can be named by it.
    """

    def __init__(self, root: Path, project: str, *, users: Callable[[str], Sequence[str]] | None = None) -> None:
        self.project = check_name(project, what="project")
        self._folder = root / project
        self._users = users

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The blobs in a folder that stands alone, as in an export: `ab/cdef…` right below it."""
        blobs = cls(folder.parent, "alone")
        blobs._folder = folder
        return blobs

    def put(self, content: bytes) -> str:
        """Keep content; its digest. Content that is kept already is not written again. Raises `StorageFull`."""
        digest = digest_bytes(content)
        path = self.path(digest)
        if not self.has(digest):
            self._make_folder(path.parent)
            write_whole(path, content)
        return digest

    @contextlib.contextmanager
    def receiving(self, digest: str) -> Generator[Callable[[bytes], None]]:
        """Keep content that comes in pieces, each given to the function.

        Raises `Invalid`, and keeps nothing, when the whole has another digest; `StorageFull` when there is no room.
        """
        path, found = self.path(digest), hashlib.sha256()
        self._make_folder(path.parent)
        with writing(path) as file:

            def take(piece: bytes) -> None:
                with disk_errors(path):
                    found.update(piece)
                    file.write(piece)

            yield take
            if f"sha256:{found.hexdigest()}" != digest:
                raise Invalid(
                    f"the content has the digest sha256:{found.hexdigest()}, not {digest}", hint="Send the bytes unchanged."
                )

    def get(self, digest: str) -> bytes:
        """The content. Raises `NotFound`, or `Unavailable` when what is on the disk is not what was kept."""
        path = self.path(digest)
        try:
            with disk_errors(path):
                content = path.read_bytes()
        except Unavailable as error:
            if isinstance(error.__cause__, FileNotFoundError):
                left = tombstones.read_left(path)
                if left is not None:
                    return left.content
                raise NotFound(f"there is no blob {digest} in project {self.project!r}") from error
            raise
        if digest_bytes(content) != digest:
            using = ", ".join(self._users(digest)) if self._users is not None else ""
            message = f"blob {digest} is damaged on the disk" + (f"; it is {using}" if using else "")
            raise Unavailable(message, where=str(path), hint="Restore it from a copy.")
        return content

    def state(self, digest: str) -> tuple[BlobState, str]:
        """Whether the bytes on the disk are those of the digest, and what is known of it. Reads all of them, in pieces."""
        path = self.path(digest)
        try:
            with disk_errors(path):
                found = digest_file(path)
        except Unavailable as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            try:
                left = tombstones.read_left(path)
            except Unavailable:
                return "damaged", "what is left of it after an erasure is not what was kept"
            if left is None:
                return "missing", ""
            return "erased", f"{len(left.erased)} row{'s were' if len(left.erased) > 1 else ' was'} erased"
        return ("ok", "") if found == digest else ("damaged", f"its bytes are {found}")

    def erase(self, digest: str, rows: Collection[str], *, told: JsonObject) -> int:
        """Erase the lines with these digests from a blob of rows; how many were there. `told` says when, why and by whom.

        What is left stands beside its place before the blob goes, so that a kill in between leaves one of the two.
        """
        path = self.path(digest)
        lines = self.get(digest).split(b"\n")
        gone = [each for each in dict.fromkeys(digest_bytes(line) for line in lines if line) if each in rows]
        if gone:
            before = tombstones.read_left(path)
            kept = b"\n".join(b"" if line and digest_bytes(line) in rows else line for line in lines)
            tombstones.write_left(path, digest, kept, [*(before.erased if before else ()), *({"row": r, **told} for r in gone)])
        if tombstones.is_erased(path):
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
        return len(gone)

    def remove(self, digest: str) -> None:
        """Remove a blob for good. Ask first whether anything uses it."""
        path = self.path(digest)
        path.unlink(missing_ok=True)
        tombstones.forget(path)

    def has(self, digest: str) -> bool:
        """Whether it is kept, or what is left of it: what was erased is not taken in again."""
        path = self.path(digest)
        return path.exists() or tombstones.is_erased(path)

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those that are not kept, in their order, each once."""
        return [digest for digest in dict.fromkeys(digests) if not self.has(digest)]

    def path(self, digest: str) -> Path:
        """Where the content is, or would be. Raises `Invalid` for what is not a digest."""
        if not is_digest(digest):
            raise Invalid(f"{digest[:80]!r} is not a digest", hint="Write sha256: and 64 hexadecimal digits.")
        name = digest.removeprefix("sha256:")
        return self._folder / name[:2] / name[2:]

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)
