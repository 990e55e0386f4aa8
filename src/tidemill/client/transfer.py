"""Export and import of a project, as calls."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypedDict, cast

import anyio
import anyio.to_thread

from tidemill.client.jobs import JobCalls
from tidemill.core.errors import Invalid
from tidemill.core.json import JsonObject, parse_json

_SECONDS: Final = 3600.0
_PIECE: Final = 1024 * 1024
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


class ExportJson(TypedDict, total=False):
    """An archive that was written: where, how large, and what is in it, by table."""

    file: str
    bytes: int
    counts: Mapping[str, int]


class ImportJson(TypedDict, total=False):
    """What an import did. `archive` is the digest of the archive's manifest; `added` and `same` count rows by table.

    `kept` is configuration that says otherwise here and stayed; `not_moved` are names that `aliases` would move.
    """

    archive: str
    project: str
    dry_run: bool
    blobs: int
    added: Mapping[str, int]
    same: Mapping[str, int]
    renumbered: Sequence[Mapping[str, str]]
    kept: Sequence[str]
    moved: Sequence[str]
    not_moved: Sequence[str]
    jobs: Sequence[str]


class TransferCalls(JobCalls):
    """Calls that take a project elsewhere."""

    async def export(self, out: Path, *, only: Sequence[str] = (), since: str | None = None, blobs: bool = True) -> ExportJson:
        """Write the project to a zip file, or to a folder when `out` does not end in `.zip`, which must be missing or empty.

        `only` names artifacts, which come with all that they need; `since` is a time, or a length of time such as 7d.
        """
        made = await anyio.to_thread.run_sync(_beside, out)
        try:
            params = {"only": list(only) or None, "since": since, "blobs": None if blobs else False}
            size = await self._line.save("/export", made, params=params, seconds=_SECONDS)
            counts = await anyio.to_thread.run_sync(_place, made, out)
        finally:
            await anyio.Path(made).unlink(missing_ok=True)
        return {"file": str(out), "bytes": size, "counts": counts}

    async def import_(self, source: Path, *, dry_run: bool = False, aliases: bool = False) -> ImportJson:
        """Take in an archive, or a folder that one was unpacked to: all of it or nothing. Waits for it.

        `aliases` moves aliases, `latest`, and what endpoints serve to where the archive has them, through the policies.
        """
        with tempfile.TemporaryDirectory(prefix="tidemill-") as folder:
            file = await anyio.to_thread.run_sync(_packed, source, Path(folder, "archive.zip"))
            params = {"dry_run": dry_run or None, "aliases": aliases or None}
            answer = cast("JsonObject", await self._line.send_file("POST", "/import", file, params=params, seconds=_SECONDS))
        job = answer.get("job")
        if job is None:
            return cast("ImportJson", answer)
        return cast("ImportJson", (await self.finish(str(job))).get("result"))


def _beside(out: Path) -> Path:
    """An empty file beside the one to write. Raises `Invalid` for a folder that is not empty."""
    if out.suffix != ".zip" and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Invalid(f"{out} is there and is not an empty folder", hint="Name another one, or a file that ends in .zip.")
    out.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=out.parent, prefix=".exporting-")
    os.close(descriptor)
    return Path(name)


def _place(made: Path, out: Path) -> Mapping[str, int]:
    """Put the archive where it belongs; how many rows of what are in it."""
    with zipfile.ZipFile(made) as archive:
        manifest = cast("JsonObject", parse_json(archive.read("manifest.json"), what="manifest.json"))
    if out.suffix == ".zip":
        made.replace(out)
    else:
        _unpack(made, out)
    return cast("Mapping[str, int]", manifest["counts"])


def _packed(source: Path, place: Path) -> Path:
    """The archive itself, or the folder packed at `place`."""
    if not source.exists():
        raise Invalid(f"there is no file or folder {str(source)!r}", hint="Make one: tidemill export")
    if source.is_dir():
        _pack(source, place)
        return place
    return source


def _unpack(path: Path, folder: Path) -> None:
    """Unpack what this platform's own server made; a name that leads elsewhere is refused all the same."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            target = Path(os.path.normpath(folder / info.filename))
            if not target.is_relative_to(folder):
                raise Invalid(f"{info.filename!r} leads out of the folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as member, target.open("wb") as file:
                while piece := member.read(_PIECE):
                    file.write(piece)


def _pack(folder: Path, path: Path) -> None:
    """Put a folder's plain files into a zip, as they are. Raises `Invalid` for a link."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for parent, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                file = Path(parent, name)
                if file.is_symlink() or not file.is_file():
                    raise Invalid(f"{file} is a link or no plain file", hint="Export it again, or import the zip file.")
                info = zipfile.ZipInfo(file.relative_to(folder).as_posix(), date_time=_EPOCH)
                info.external_attr = 0o644 << 16
                with file.open("rb") as opened, archive.open(info, "w", force_zip64=True) as member:
                    while piece := opened.read(_PIECE):
                        member.write(piece)
