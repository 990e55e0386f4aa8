"""Spools that other processes write and one projects: `workers/NAME/` in the spool's folder, each with a lock and a note.

The writer holds the lock for as long as it lives, and notes after each write up to where its rows are safe; nothing behind
that is read before the lock is free. Then the writer has ended, however it did: all that is whole is read to the last byte, as
after a start, and the folder goes.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
import shutil
import struct
import threading
import zlib
from pathlib import Path
from typing import Final

from tidemill.telemetry.spool.segments import Position, Segments, load_position, segment_numbers

FOLDER: Final = "workers"
TO_SAMPLE: Final = "to_sample"
"""In place of a table's name: rows of spans whose whole traces are sampled, which the owner of the store decides."""
_LOCK: Final = "lock"
_SAFE: Final = "safe"
_NOTE: Final = struct.Struct(">QQI")


class HandingOver:
    """The writer's side of one spool. `note` may be called from any thread."""

    def __init__(self, spool: Path, name: str) -> None:
        """Make the folder, in `spool`'s, under the name with something that nobody else has."""
        unique = f"{name}-{secrets.token_hex(4)}"
        made = spool / FOLDER / f".{unique}"
        made.mkdir(mode=0o700, parents=True)
        self._lock = os.open(made / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        note = os.open(made / _SAFE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(note, _NOTE.size)
            self._note = mmap.mmap(note, _NOTE.size)
        finally:
            os.close(note)
        self.folder = made.rename(spool / FOLDER / unique)  # with the lock held: whoever finds it free may remove it
        self._noting = threading.Lock()
        self._noted = Position()

    def note(self, safe: Position) -> None:
        """Everything before this place is safe."""
        with self._noting:
            if safe > self._noted:
                self._noted = safe
                self._note[:] = _NOTE.pack(*safe, _check(safe))

    def close(self) -> None:
        """Let go: who projects reads the rest and removes the folder."""
        with self._noting:
            self._note.close()
        os.close(self._lock)


class HandedSpool(Segments):
    """The reader's side of one spool. `durable` is as of the last `look`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, load_position(folder))
        self.is_over = False
        """Whether the writer has ended."""
        self._lock: int | None = None

    def look(self) -> None:
        """See what was added, and whether the writer still lives."""
        if not self.is_over:
            self.is_over = self._take_lock()
        if not self.is_over:
            self._durable = max(self._durable, _read_note(self.folder / _SAFE))
            return
        last = max([self.position().segment - 1, *segment_numbers(self.folder)])
        self._durable = Position(last + 1, 0)

    def remove(self) -> None:
        """Remove the folder; only once it is over and everything was projected."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Let go of it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> bool:
        try:
            lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        self._lock = lock
        return True


def handed_folders(spool: Path) -> list[Path]:
    """The folders that others write, or wrote."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(each for each in (spool / FOLDER).iterdir() if not each.name.startswith("."))
    return []


def remove_unfinished(spool: Path) -> None:
    """Remove folders whose making was cut off; only while nobody makes any."""
    for each in (spool / FOLDER).glob(".*"):
        shutil.rmtree(each, ignore_errors=True)


def _read_note(path: Path) -> Position:
    """What the writer noted; the very beginning when nothing was, or it is being written just now."""
    try:
        segment, offset, check = _NOTE.unpack(path.read_bytes())
    except (OSError, struct.error):
        return Position()
    found = Position(segment, offset)
    return found if check == _check(found) else Position()


def _check(position: Position) -> int:
    return zlib.crc32(f"{position.segment}:{position.offset}".encode())
