"""Taking registry changes into the project's files: all of them, or none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict, cast

import anyio
import anyio.to_thread

from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.client.files import Collected, collect, has_specs
from tidemill.client.shapes import ProblemJson
from tidemill.client.upload import upload
from tidemill.core.digests import digest_file
from tidemill.core.errors import Conflict, Denied, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.settings import Settings

_MODE: Final = 0o644


class PulledChange(TypedDict, total=False):
    """What happened to one document; `files` and `registry` are labels such as `v4`."""

    ref: str
    action: str
    path: str
    environment: str | None
    files: str | None
    registry: str | None
    digest: str


class PulledJson(TypedDict, total=False):
    """What a pull wrote, or would write: `written` are paths from the project's folder, `notes` what could not be said."""

    changes: Sequence[PulledChange]
    written: Sequence[str]
    notes: Sequence[ProblemJson]
    dry_run: bool


class PullCalls(Calls):
    """Calls that write into the project's folder."""

    settings: Settings

    async def pull(self, refs: Sequence[str] = (), *, theirs: bool = False, dry_run: bool = False) -> PulledJson:
        """Write what was changed in the registry into the project's files, of `refs` or of all; comments stay.

        Raises `Conflict` where the files were changed too, unless `theirs`, and when a file changes meanwhile; then nothing is
        written. Nothing is ever written outside of the project's folder.
        """
        settings = self.settings
        is_there = await anyio.to_thread.run_sync(has_specs, settings)
        files = await anyio.to_thread.run_sync(collect, settings) if is_there else Collected(root=settings.root, specs={})
        await upload(self._line, files)
        body: JsonObject = {
            "files": files.manifest(), "only": list(refs), "theirs": theirs, "folder": _folder(settings),
        }  # fmt: skip
        answer = cast("Mapping[str, Json]", await self._line.send("POST", "/pull", body=body))
        contents = cast("Mapping[str, str | Mapping[str, str]]", answer["files"])
        changes = cast("Sequence[PulledChange]", answer["changes"])
        told: PulledJson = {
            "changes": changes, "written": sorted(contents), "notes": cast("Sequence[ProblemJson]", answer["notes"]),
            "dry_run": dry_run,
        }  # fmt: skip
        if dry_run or not changes:
            return told
        with tempfile.TemporaryDirectory(prefix="tidemill-pull-") as folder:
            for path, content in contents.items():
                made = Path(folder, path.replace("/", "%2F"))
                if isinstance(content, str):
                    await anyio.Path(made).write_bytes(content.encode("utf-8"))
                else:
                    await self._line.save(f"/blobs/{segment(content['blob'])}", made)
            before = cast("Mapping[str, str | None]", answer["before"])
            await anyio.to_thread.run_sync(write_all, settings.root, Path(folder), sorted(contents), before)
        written: list[Json] = [
            {key: cast("Json", each.get(key)) for key in ("ref", "path", "digest", "environment")} for each in changes
        ]
        await self._line.send("POST", "/pull:written", body={"written": written})
        return told


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where a file goes, what lies ready for it, and what stands there now (None: nothing)."""

    path: str
    target: Path
    ready: Path
    kept: Path | None


def write_all(root: Path, folder: Path, paths: Sequence[str], before: Mapping[str, str | None]) -> None:
    """Put the files of `folder` into their places below `root`: each is written beside its place first, then all are renamed.

    Raises `Denied` for a place outside of `root`, as through a link, and `Conflict` for a file that is not what it was; then,
    and when a rename fails, everything is as it was.
    """
    with ExitStack() as undo:
        places = [_prepared(root, folder, path, before.get(path), undo) for path in paths]
        done: list[_Place] = []
        try:
            for each in places:
                each.ready.replace(each.target)
                done.append(each)
        except OSError as error:
            for each in reversed(done):
                if each.kept is None:
                    each.target.unlink(missing_ok=True)
                else:
                    each.kept.replace(each.target)
            raise Unavailable(f"{error.filename} cannot be written: {error.strerror}", hint="Nothing was written.") from error


def _prepared(root: Path, folder: Path, path: str, before: str | None, undo: ExitStack) -> _Place:
    target = _target(root, path)
    now = digest_file(target) if target.is_file() else None
    if now != before or (now is None and target.exists()):
        raise Conflict(f"{path} was changed meanwhile", hint="Nothing was written. Pull again.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        ready = _beside(target, folder / path.replace("/", "%2F"), undo)
        kept = _beside(target, target, undo) if now is not None else None
        if now is not None:
            ready.chmod(target.stat().st_mode & 0o777)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}", hint="Nothing was written.") from error
    return _Place(path=path, target=target, ready=ready, kept=kept)


def _target(root: Path, path: str) -> Path:
    """Where a path leads; through a link to another file of the project too, and never out of its folder."""
    target = Path(os.path.normpath(root / path))
    inside = root.resolve()
    if not target.is_relative_to(root) or not target.resolve().is_relative_to(inside):
        raise Denied(f"{path} leads out of the project's folder", hint="Remove the link. Nothing was written.")
    return target.resolve()


def _beside(target: Path, source: Path, undo: ExitStack) -> Path:
    """A copy of `source` in the folder of `target`, which goes when it is not needed any more."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".pulling-")
    made = Path(name)
    undo.callback(made.unlink, missing_ok=True)
    with os.fdopen(descriptor, "wb") as file, source.open("rb") as content:
        while piece := content.read(1024 * 1024):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    made.chmod(_MODE)
    return made


def _folder(settings: Settings) -> str:
    """Where documents go that the files do not have: the first folder of specs."""
    folders = [each for each in settings.paths if not each.endswith((".yaml", ".yml"))]
    return folders[0].strip("/") if folders else "."
