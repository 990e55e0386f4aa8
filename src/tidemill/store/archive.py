"""Archives of projects: a zip file whose `manifest.json` names every other file with its digest; written and read with care.

Nothing of an archive is believed: names, sizes, counts and ratios are checked before a byte is unpacked, and every file against
its digest before anything is kept.
"""

from __future__ import annotations

import hashlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self, cast

from tidemill.core.digests import canonical, digest_bytes
from tidemill.core.errors import Conflict, Invalid
from tidemill.core.json import Json, JsonObject, parse_json
from tidemill.core.refs import is_digest

SCHEMA: Final = "tidemill-export"
VERSION: Final = 1
MANIFEST: Final = "manifest.json"
MOST_MEMBERS: Final = 500_000
MOST_BYTES: Final = 256 * 1024**3
LARGEST_LINE: Final = 256 * 1024 * 1024
_LARGEST_MANIFEST: Final = 256 * 1024 * 1024
_RATIO: Final = 200  # deflate packs text of specs some ten times
_RATIO_FROM: Final = 64 * 1024 * 1024
_TRIED: Final = 64 * 1024
_PIECE: Final = 1024 * 1024
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_SPOILT = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError, struct.error, ValueError)


class ArchiveWriter:
    """Adds files to a zip, and remembers their digests for the manifest."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._files: dict[str, Json] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def add(self, name: str, pieces: Iterable[bytes]) -> str:
        """Write one file; its digest. What hardly packs is stored as it is."""
        left = iter(pieces)
        first = next(left, b"")
        info = zipfile.ZipInfo(name, date_time=_EPOCH)
        info.external_attr = 0o644 << 16
        packs = len(zlib.compress(first[:_TRIED], 1)) < 0.9 * len(first[:_TRIED])
        info.compress_type = zipfile.ZIP_DEFLATED if packs else zipfile.ZIP_STORED
        found, size = hashlib.sha256(first), len(first)
        with self._zip.open(info, "w", force_zip64=True) as member:
            member.write(first)
            for piece in left:
                found.update(piece)
                size += len(piece)
                member.write(piece)
        digest = f"sha256:{found.hexdigest()}"
        self._files[name] = {"digest": digest, "bytes": size}
        return digest

    def finish(self, about: JsonObject) -> JsonObject:
        """Write the manifest, `about` with the digest of every file; it ends the archive."""
        manifest: JsonObject = {"schema": SCHEMA, "version": VERSION, **about, "files": self._files}
        self._zip.writestr(zipfile.ZipInfo(MANIFEST, date_time=_EPOCH), canonical(manifest))
        self._zip.close()
        return manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """An archive that was opened and whose files are what its manifest says; `digest` is the manifest's."""

    opened: zipfile.ZipFile
    manifest: Mapping[str, Any]
    digest: str
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])

    def has(self, name: str) -> bool:
        """Whether it holds this file."""
        return name in self.sizes

    def names(self, folder: str) -> list[str]:
        """The files below a folder, sorted."""
        return sorted(each for each in self.sizes if each.startswith(f"{folder}/"))

    def pieces(self, name: str) -> Iterator[bytes]:
        """A file's content, a piece at a time."""
        with self.opened.open(name) as member:
            while piece := member.read(_PIECE):
                yield piece

    def rows(self, name: str) -> Iterator[Mapping[str, Any]]:
        """The objects of a file of JSON lines; none when there is no such file. Raises `Invalid` with the line's number."""
        if not self.has(name):
            return
        with self.opened.open(name) as member:
            for number, line in enumerate(_lines(member, name), 1):
                row = parse_json(line, what=f"{name}:{number}")
                if not isinstance(row, Mapping):
                    raise Invalid(f"{name}:{number} is not an object", hint=_WHOLE)
                yield cast("Mapping[str, Any]", row)


_WHOLE: Final = "The archive was not made by tidemill export, or was changed since. Nothing was imported."


@contextmanager
def open_archive(path: Path) -> Generator[Archive]:
    """Open an archive and check all of it against its manifest.

    Raises `Invalid`, naming the file in it, for anything that does not hold, and `Conflict` for a newer format.
    """
    try:
        opened = zipfile.ZipFile(path)
    except _SPOILT as error:
        raise Invalid("this is no zip file, or it was cut off", hint="Export it again, or send all of it.") from error
    with opened:
        infos = _checked_members(opened.infolist(), packed=path.stat().st_size)
        content = _read_manifest(opened, infos)
        manifest = cast("Mapping[str, Any]", parse_json(content, what=MANIFEST))
        sizes = _checked_manifest(manifest, infos)
        archive = Archive(opened=opened, manifest=manifest, digest=digest_bytes(content), sizes=sizes)
        for name in sizes:
            _check_file(archive, name)
        yield archive


def _checked_members(infos: list[zipfile.ZipInfo], *, packed: int) -> dict[str, zipfile.ZipInfo]:
    if len(infos) > MOST_MEMBERS:
        raise Invalid(f"the archive holds {len(infos):,} files, and {MOST_MEMBERS:,} is the most", hint=_WHOLE)
    found: dict[str, zipfile.ZipInfo] = {}
    total, ends = 0, 0
    for info in sorted(infos, key=lambda each: each.header_offset):
        _check_member(info)
        if info.filename in found:
            raise Invalid(f"{info.filename!r} stands in the archive twice", hint=_WHOLE)
        if info.header_offset < ends:
            raise Invalid(f"{info.filename!r} shares its bytes with another file of the archive", hint=_WHOLE)
        ends = info.header_offset + info.compress_size
        total += info.file_size
        found[info.filename] = info
    if total > MOST_BYTES or (total > _RATIO_FROM and total > _RATIO * packed):
        raise Invalid(
            f"this looks like a zip bomb: {packed:,} bytes would unpack to {total:,}",
            hint="No export packs so well. Nothing was imported.",
        )
    return found


def _check_member(info: zipfile.ZipInfo) -> None:
    name, mode = info.filename, info.external_attr >> 16
    parts = name.split("/")
    shown = repr(name[:120])
    is_inside = name and not name.startswith("/") and not {"", ".", ".."} & set(parts) and ":" not in parts[0]
    if not is_inside or "\\" in name or "\0" in name or info.orig_filename != name:
        raise Invalid(f"the name {shown} leads out of the archive, or is no file's", hint=_WHOLE)
    if mode and stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        raise Invalid(f"{shown} is a link or no plain file", hint=_WHOLE)
    if info.flag_bits & 0x1:
        raise Invalid(f"{shown} is encrypted", hint="Export it without a password.")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise Invalid(f"{shown} is packed in a way that is not read here", hint="Use deflate, as tidemill export does.")


def _read_manifest(opened: zipfile.ZipFile, infos: Mapping[str, zipfile.ZipInfo]) -> bytes:
    info = infos.get(MANIFEST)
    if info is None:
        raise Invalid(f"the archive has no {MANIFEST}", hint="Make one: tidemill export")
    if info.file_size > _LARGEST_MANIFEST:
        raise Invalid(f"{MANIFEST} has {info.file_size:,} bytes", hint=_WHOLE)
    try:
        return opened.read(info)
    except _SPOILT as error:
        raise Invalid(f"{MANIFEST} cannot be read: {error}", hint=_WHOLE) from error


def _checked_manifest(manifest: Any, infos: Mapping[str, zipfile.ZipInfo]) -> dict[str, int]:
    """The size of each file, after comparing what the manifest says with what is there."""
    if not isinstance(manifest, Mapping) or manifest.get("schema") != SCHEMA:
        raise Invalid(f"{MANIFEST} is not that of an export", hint="Make one: tidemill export")
    said = cast("Mapping[str, Any]", manifest)
    version, files = said.get("version"), said.get("files")
    if isinstance(version, int) and version > VERSION:
        raise Conflict(
            f"the archive has format {version}, made by a newer Tidemill; this one reads up to {VERSION}",
            hint="Import it with the newer Tidemill.",
        )
    if version != VERSION or not isinstance(files, Mapping):
        raise Invalid(f"{MANIFEST} has the format {version!r}", hint=_WHOLE)
    listed = cast("Mapping[str, Any]", files)
    for name in sorted({*listed, *infos} - {MANIFEST}):
        if name not in infos:
            raise Invalid(f"{MANIFEST} names {name!r}, which the archive does not hold", hint=_WHOLE)
        if name not in listed:
            raise Invalid(f"the archive holds {name!r}, which {MANIFEST} does not name", hint=_WHOLE)
        entry = listed[name]
        if not isinstance(entry, Mapping) or cast("Mapping[str, Any]", entry).get("bytes") != infos[name].file_size:
            raise Invalid(f"{name} has {infos[name].file_size:,} bytes, and {MANIFEST} says otherwise", hint=_WHOLE)
    return {name: infos[name].file_size for name in listed}


def _check_file(archive: Archive, name: str) -> None:
    found = hashlib.sha256()
    try:
        for piece in archive.pieces(name):
            found.update(piece)
    except _SPOILT as error:
        raise Invalid(f"{name} cannot be read: {error}", hint=_WHOLE) from error
    digest = f"sha256:{found.hexdigest()}"
    if digest != archive.manifest["files"][name]["digest"]:
        raise Invalid(f"{name} has the digest {digest}, and {MANIFEST} says otherwise", hint=_WHOLE)
    if name.startswith("blobs/") and not name.endswith(".erased") and blob_name(digest) != name:
        raise Invalid(f"the blob {name} holds other content: it has the digest {digest}", hint=_WHOLE)


def blob_name(digest: str) -> str:
    """Where a blob stands in an archive. Raises `Invalid` for what is not a digest."""
    if not is_digest(digest):
        raise Invalid(f"{digest[:80]!r} is not a digest", hint=_WHOLE)
    name = digest.removeprefix("sha256:")
    return f"blobs/{name[:2]}/{name[2:]}"


def _lines(member: IO[bytes], name: str) -> Iterator[bytes]:
    while line := member.readline(LARGEST_LINE + 1):
        if len(line) > LARGEST_LINE:
            raise Invalid(f"a line of {name} is longer than {LARGEST_LINE:,} bytes", hint=_WHOLE)
        if line.strip():
            yield line
