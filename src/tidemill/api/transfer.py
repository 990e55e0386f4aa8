"""Export and import of a project, and its blobs by digest."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Annotated, Any, Final

import anyio
import anyio.to_thread
from fastapi import Query, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection as Database
from starlette.types import Receive, Scope, Send

from tidemill.api.caller import AnyCaller
from tidemill.api.indexes import build_index_job
from tidemill.api.platform import Platform
from tidemill.api.router import Router
from tidemill.api.times import since_ns
from tidemill.core.errors import Invalid, NotFound, TidemillError
from tidemill.core.extend import JobContext
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Progress
from tidemill.core.refs import parse_ref
from tidemill.store import export, registry
from tidemill.store.archive import Archive, open_archive
from tidemill.store.documents import documents_of
from tidemill.store.files import FilesFolder
from tidemill.store.import_blobs import import_blobs
from tidemill.store.import_report import Report, Rules
from tidemill.store.imports import import_archive

router = Router(tags=["transfer"])
IMPORT: Final = "import"
"""The kind of job that takes in a large archive."""
LARGEST: Final = 64 * 1024**3
_AT_ONCE: Final = 64 * 1024 * 1024
_PIECE: Final = 1024 * 1024
_IN_MEMORY: Final = 8 * 1024 * 1024
_FOLDER: Final = "imports"


class _Undo(Exception):
    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report


@router.get("/blobs/{digest}")
async def get_blob(call: AnyCaller, digest: str) -> StreamingResponse:
    """A blob's bytes. What was erased from it is left out."""
    blobs = call.platform.blobs(call.project)
    path = blobs.path(digest)
    if not await anyio.Path(path).exists():
        content = await anyio.to_thread.run_sync(blobs.get, digest)
        return StreamingResponse(iter([content]), media_type="application/octet-stream")
    headers = {"content-length": str((await anyio.Path(path).stat()).st_size)}
    return _FileSent(path.open("rb"), "application/octet-stream", headers=headers)


@router.get("/export")
async def export_project(
    call: AnyCaller,
    only: Annotated[list[str] | None, Query()] = None,
    since: str | None = None,
    blobs: bool = True,  # noqa: FBT001, FBT002  (a query parameter)
) -> StreamingResponse:
    """The project as a zip file in open formats; `only` names artifacts, which come with all that they need."""
    platform, project = call.platform, call.project
    now_ns = platform.clock.now_ns()
    only = only or []
    for each in only:
        parse_ref(each)
    choice = export.Choice(only=tuple(only), since_ns=since_ns(since, now_ns=now_ns), with_blobs=blobs)
    kept = platform.blobs(project)
    file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  (closed when it was sent)

    def work(db: Database) -> JsonObject:
        def documents() -> Iterable[tuple[str, bytes]]:
            return documents_of(db, project, kinds=platform.kinds, blobs=kept, only=choice.only)

        return export.write_export(
            db, project, file, blobs=kept, choice=choice, now_ns=now_ns, by=call.who, documents=documents
        )

    try:
        await platform.database.read(work)
    except BaseException:
        file.close()
        raise
    size = file.tell()
    file.seek(0)
    headers = {"content-disposition": f'attachment; filename="{project}.tidemill.zip"', "content-length": str(size)}
    return _FileSent(file, "application/zip", headers=headers)


class _FileSent(StreamingResponse):
    """Sends a file and closes it, however the sending ends, also before its first piece."""

    def __init__(self, file: IO[bytes], media_type: str, *, headers: Mapping[str, str]) -> None:
        super().__init__(_read(file), media_type=media_type, headers=headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


@router.post("/import")
async def import_project(
    call: AnyCaller,
    request: Request,
    dry_run: bool = False,  # noqa: FBT001, FBT002  (query parameters)
    aliases: bool = False,  # noqa: FBT001, FBT002
) -> dict[str, Any]:
    """Take in an archive, which is the body: all of it or nothing. A large one is taken in by the job that is answered.

    `aliases` moves aliases, `latest`, and what endpoints serve to where the archive has them, through the policies.
    """
    folder = call.platform.data / _FOLDER
    await anyio.Path(folder).mkdir(mode=0o700, exist_ok=True)
    path = Path(await anyio.to_thread.run_sync(lambda: tempfile.mkstemp(dir=folder, suffix=".zip")[1]))
    try:
        size = await _receive(request, path)
        order: JsonObject = {
            "archive": path.name, "dry_run": dry_run, "aliases": aliases, "by": call.who, "role": call.principal.role,
        }  # fmt: skip
        if size > _AT_ONCE:
            job = await call.platform.jobs.submit(IMPORT, order, project=call.project, by=call.who)
            path = Path()
            return {"job": job.id}
        return dict(await take_in(call.platform, call.project, path, order))
    finally:
        if path.name:
            await anyio.Path(path).unlink(missing_ok=True)


class ImportJob:
    """The job `import`: takes in an archive that was sent; started again after a kill it finds what it kept."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def __call__(self, payload: JsonObject, context: JobContext) -> Json:
        """Take in the archive of the payload, then remove it."""
        path = self._platform.data / _FOLDER / str(payload["archive"])
        if not await anyio.Path(path).exists():
            raise NotFound("the archive that was sent is gone", hint="Send it again.")
        await context.report(Progress(done=0, total=1, unit="archive"))
        try:
            report = await take_in(self._platform, context.project, path, payload)
        except TidemillError:
            await anyio.Path(path).unlink(missing_ok=True)  # after a kill it stays, so that the job goes on with it
            raise
        await anyio.Path(path).unlink(missing_ok=True)
        return report


async def take_in(platform: Platform, project: str, path: Path, order: JsonObject) -> JsonObject:
    """Check an archive whole, keep its blobs, and merge the rest in one transaction; what was done."""
    rules = Rules(
        by=str(order["by"]),
        role=None if order["role"] is None else str(order["role"]),
        now_ns=platform.clock.now_ns(),
        moves=bool(order["aliases"]),
    )
    told, digests = await anyio.to_thread.run_sync(_take_in, platform, project, path, rules, bool(order["dry_run"]))
    if not order["dry_run"]:
        found = await platform.database.read(lambda db: registry.find_by_digests(db, project, digests, kind="index"))
        jobs = [await build_index_job(platform, project, each) for each in found]
        told = {**told, "jobs": [each for each in jobs if each is not None]}
    return told


def _take_in(
    platform: Platform,
    project: str,
    path: Path,
    rules: Rules,
    dry_run: bool,  # noqa: FBT001  (on a worker thread, without keywords)
) -> tuple[JsonObject, list[str]]:
    blobs = platform.blobs(project)
    kinds = {name: kind.versioned for name, kind in platform.kinds.items()}
    with open_archive(path) as archive:

        def work(db: Database) -> Report:
            report = import_archive(
                db, project, archive, rules=rules, policies=platform.policies, kinds=kinds, has_blob=blobs.has,
                check_config=_checker(platform, archive, blobs_of=project),
            )  # fmt: skip
            if dry_run:
                raise _Undo(report)
            return report

        try:
            kept = 0 if dry_run else import_blobs(archive, blobs)
            report = platform.database.write_sync(work)
        except _Undo as undone:
            kept, report = 0, undone.report
        about: dict[str, Json] = {
            "archive": archive.digest, "from": str(archive.manifest.get("project")), "project": project, "dry_run": dry_run,
            "blobs": kept, **report.as_json(),
        }  # fmt: skip
        indexes = [str(row["digest"]) for row in archive.rows(export.file_of("versions")) if row["kind"] == "index"]
        return about, indexes if report.added.get("versions") else []


def _checker(platform: Platform, archive: Archive, *, blobs_of: str) -> Callable[[str, JsonObject], None]:
    """Whether configuration is what its kind takes."""
    files = FilesFolder({}, platform.blobs(blobs_of))

    def check(kind: str, spec: JsonObject) -> None:
        if kind not in platform.kinds:
            raise Invalid(f"the kind {kind!r} is not installed here", where=archive.digest)
        platform.kinds[kind].parse(spec, files=files.beside("tidemill/import.yaml"))

    return check


async def _receive(request: Request, path: Path) -> int:
    """Write a body to a file as it arrives; its size."""
    size = 0
    async with await anyio.open_file(path, "wb") as file:
        async for piece in request.stream():
            size += len(piece)
            if size > LARGEST:
                raise Invalid(f"the archive is larger than {LARGEST >> 30} GiB", hint="Export it in parts: --only, --since.")
            await file.write(piece)
    if size == 0:
        raise Invalid("the body is empty", hint="Send the zip file that tidemill export wrote.")
    return size


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
