"""Writing files so that each is there whole or not at all, and saying plainly when the disk is full."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from tidemill.core.errors import Denied, StorageFull, Unavailable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextlib.contextmanager
def disk_errors(path: Path) -> Generator[None]:
    """Turn what the operating system says into `StorageFull`, `Denied` or `Unavailable`, naming the path."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(
                "the disk is full; nothing was written", where=str(path), hint="Free some room, then try again."
            ) from error
        if error.errno in _REFUSED:
            raise Denied(
                f"writing is not allowed: {error.strerror}", where=str(path), hint="Look at the folder's owner and mode."
            ) from error
        raise Unavailable(f"the disk failed: {error.strerror}", where=str(path)) from error


def write_whole(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file: a temporary one beside it, synced, then renamed over it, and the folder synced.

    When this returns the content survives a loss of power; when it raises the file is as it was.
    """
    with writing(path, mode=mode) as file:
        file.write(content)


@contextlib.contextmanager
def writing(path: Path, *, mode: int = 0o644) -> Generator[BinaryIO]:
    """The same for content that comes in pieces: the file is there when the block ends well, else it is as it was."""
    with disk_errors(path):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
