"""The files of a spool: numbered segments that are only ever appended to, and the position up to which they were projected."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import orjson

from tidemill.telemetry.spool.frames import LARGEST_PAYLOAD, decode_frames

_ENDING: Final = ".spool"
_OFFSET: Final = "projected.json"


class Position(NamedTuple):
    """A place in the spool: a segment's number and an offset in it. Positions compare in the order of writing."""

    segment: int = 0
    offset: int = 0


class Batch(NamedTuple):
    """Payloads read, the position after them, and how many bytes were passed over that held none.

    `damaged` tells by segment how many of those were whole once; the others are the end of a record that a kill cut off.
    """

    payloads: Sequence[bytes]
    end: Position
    skipped: int
    damaged: Mapping[int, int] = MappingProxyType({})


def segment_path(folder: Path, number: int) -> Path:
    """Where segment `number` is."""
    return folder / f"{number:012d}{_ENDING}"


def segment_numbers(folder: Path) -> list[int]:
    """Every segment there is, oldest first."""
    return sorted(int(each.stem) for each in folder.glob(f"*{_ENDING}") if each.stem.isdigit())


def load_position(folder: Path) -> Position:
    """Up to where spans were projected; the very beginning when the note is missing or damaged (they are then sent again)."""
    try:
        note = orjson.loads((folder / _OFFSET).read_bytes())
        found = Position(int(note["segment"]), int(note["offset"]))
        return found if note.get("check", _check(found)) == _check(found) else Position()
    except (FileNotFoundError, orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return Position()


def _check(position: Position) -> int:
    return zlib.crc32(f"{position.segment}:{position.offset}".encode())


def keep_damaged(segment: Path, folder: Path, name: str) -> None:
    """Keep a segment that holds what cannot be read in `damaged/`, so that it is not lost when the spool is done with it."""
    kept = folder / "damaged"
    with contextlib.suppress(OSError):
        kept.mkdir(exist_ok=True)
        os.link(segment, kept / name)


def save_position(folder: Path, position: Position) -> None:
    """Note that everything before `position` was projected, and drop the segments before it."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{_OFFSET}.new"
    temporary.write_bytes(orjson.dumps({**position._asdict(), "check": _check(position)}))
    temporary.replace(folder / _OFFSET)
    for number in segment_numbers(folder):
        if number < position.segment:
            with contextlib.suppress(OSError):  # it goes next time; nothing reads it any more
                segment_path(folder, number).unlink(missing_ok=True)


def read_batch(folder: Path, start: Position, durable: Position, *, limit: int) -> Batch:
    """About `limit` bytes of payloads between `start` and `durable`, at least one payload unless there is none."""
    position, skipped = start, 0
    damaged: dict[int, int] = {}
    for number in segment_numbers(folder):
        if number < position.segment:
            continue
        if number > durable.segment:
            break
        if number > position.segment:
            position = Position(number, 0)
        closed = number != durable.segment
        if not closed and position >= durable:
            break
        try:
            batch = _read_segment(folder, position, None if closed else durable.offset, limit=limit)
        except OSError:
            if not closed:
                raise
            damaged[number] = _size(segment_path(folder, number))
            position = Position(number + 1, 0)
            continue
        skipped += batch.skipped
        damaged |= batch.damaged
        position = batch.end
        if batch.payloads:
            return Batch(batch.payloads, position, skipped, damaged)
        if closed:
            position = Position(number + 1, 0)
    return Batch((), max(position, durable), skipped, damaged)


class Segments:
    """A folder of segments, as whoever projects it sees it: all that lies before `durable` can be read."""

    def __init__(self, folder: Path, durable: Position) -> None:
        self.folder = folder
        self._durable = durable

    @property
    def durable(self) -> Position:
        """Everything before this position is safe on disk, as far as is known here."""
        return self._durable

    def read(self, start: Position, *, limit: int = 4 << 20) -> Batch:
        """About `limit` bytes of rows after `start`, of what is safe on disk."""
        return read_batch(self.folder, start, self._durable, limit=limit)

    def position(self) -> Position:
        """Up to where rows were projected."""
        return load_position(self.folder)

    def commit(self, position: Position) -> None:
        """Note that everything before `position` was projected; segments before it go."""
        save_position(self.folder, position)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _read_segment(folder: Path, start: Position, until: int | None, *, limit: int) -> Batch:
    path = segment_path(folder, start.segment)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        end = size if until is None else min(until, size)
        wanted = limit
        while True:
            file.seek(start.offset)
            content = file.read(min(wanted, end - start.offset))
            final = start.offset + len(content) >= end
            decoded = decode_frames(content, final=final)
            if decoded.payloads or final or wanted > LARGEST_PAYLOAD * 2:
                lost = decoded.skipped - decoded.torn
                end = Position(start.segment, start.offset + decoded.end)
                return Batch(decoded.payloads, end, decoded.skipped, {start.segment: lost} if lost else {})
            wanted *= 2


def bytes_after(folder: Path, position: Position) -> tuple[int, float | None]:
    """How many bytes lie after a position, and since when the oldest of their segments is there (seconds since the epoch)."""
    size, since = 0, None
    for number in segment_numbers(folder):
        with contextlib.suppress(OSError):
            found = segment_path(folder, number).stat()
            behind = found.st_size - (position.offset if number == position.segment else 0)
            if number >= position.segment and behind > 0:
                size += behind
                since = found.st_mtime if since is None else since
    return size, since


def next_number(folder: Path) -> int:
    """The number of the segment that the next writer begins."""
    return max([0, *segment_numbers(folder)][-1], load_position(folder).segment) + 1


def new_segment(folder: Path) -> tuple[int, int]:
    """Begin the next segment: its number and a file descriptor to append to. The folder is synced, so that it stays."""
    folder.mkdir(parents=True, exist_ok=True)
    number = next_number(folder)
    descriptor = os.open(segment_path(folder, number), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        sync_folder(folder)
    except OSError:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            segment_path(folder, number).unlink()
        raise
    return number, descriptor


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
