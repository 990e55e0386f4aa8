"""Content-addressed bytes in a folder, a namespace per project: `blobs/<project>/ab/cdef…`."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Invalid, NotFound, Unavailable
from tidemill.core.refs import check_name, is_digest
from tidemill.store.disk import disk_errors, sync_folder, write_whole, writing


class Blobs:
    """One project's blobs below `root`. Whole or not there: a blob is written beside its place, synced, then renamed."""

    def __init__(self, root: Path, project: str) -> None:
        self.project = check_name(project, what="project")
        self._folder = root / project

    def put(self, content: bytes) -> str:
        """Keep content; its digest. Content that is kept already is not written again. Raises `StorageFull`."""
        digest = digest_bytes(content)
        path = self.path(digest)
        if not path.exists():
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
                raise NotFound(f"there is no blob {digest} in project {self.project!r}") from error
            raise
        if digest_bytes(content) != digest:
            raise Unavailable(f"blob {digest} is damaged on the disk", where=str(path), hint="Restore it from a copy.")
        return content

    def has(self, digest: str) -> bool:
        """Whether it is kept."""
        return self.path(digest).exists()

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
